"""Every hook is documented and named by a test; every plugin can be switched off; the sample configuration parses."""

import inspect
import tomllib
from pathlib import Path

import msgspec
import pytest

from corral.config import Config, KernelSettings, load
from corral.hookspecs import Hooks
from corral.kernel import Kernel
from corral.plugins import discover

ROOT = Path(__file__).resolve().parents[2]
HOOKS = [name for name in vars(Hooks) if name.startswith("corral_")]
BUILT_IN = [plugin.name for plugin in discover() if plugin.built_in]


def test_there_are_fifteen_hooks_each_with_a_docstring() -> None:
    assert len(HOOKS) == 15
    for name in HOOKS:
        assert inspect.getdoc(getattr(Hooks, name)), name


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_named_by_a_test(hook: str) -> None:
    own = Path(__file__)
    texts = (path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py") if path != own)
    assert any(hook in text for text in texts)


@pytest.mark.parametrize("name", BUILT_IN)
def test_booting_without_one_plugin_works(name: str) -> None:
    kernel = Kernel(Config(plugins={name: {"enabled": False}}))
    kernel.plugins.require()
    assert [row.state for row in kernel.plugins.rows if row.name == name] == ["off"]


def test_the_sample_configuration_names_every_key_with_its_default() -> None:
    text = (ROOT / "config" / "corral.toml").read_text(encoding="utf-8")
    uncommented = "\n".join(line[2:] if line.startswith("# ") and " = " in line else line for line in text.splitlines())
    tables = tomllib.loads(uncommented)
    assert msgspec.convert(tables["kernel"], KernelSettings) == KernelSettings()
    assert set(tables["kernel"]) == set(KernelSettings.__struct_fields__)
    for plugin in discover():
        if plugin.built_in:
            settings = plugin.load().Config
            table = dict(tables["plugins"][plugin.name])
            assert table.pop("enabled") is True
            assert msgspec.convert(table, settings) == settings(), plugin.name
            assert set(table) == set(settings.__struct_fields__), plugin.name


@pytest.mark.parametrize("name", ["corral.toml", "minimal.toml", "api-only.toml"])
def test_every_example_configuration_boots(name: str) -> None:
    kernel = Kernel(load(ROOT / "config" / name, environ={}))
    kernel.plugins.require()
