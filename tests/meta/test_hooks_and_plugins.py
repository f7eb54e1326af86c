"""Every hook is documented and named by a test; every plugin can be switched off; the sample configuration parses."""

import inspect
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest

from corral import Unsupported
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


@pytest.mark.parametrize(("off", "said"), [("store", "no store 'ollama' here"), ("cli", "unknown command 'show'")])
def test_a_missing_plugin_is_named_in_one_line(off: str, said: str, tmp_path: Path) -> None:
    variables = {"CORRAL_MODELS": str(tmp_path), "CORRAL_HOST": "127.0.0.1:1", "XDG_CONFIG_HOME": str(tmp_path)}
    environ = {**os.environ, **variables, f"CORRAL_PLUGINS__{off.upper()}__ENABLED": "0"}
    argv = [sys.executable, "-m", "corral", "show", "m"]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: {said}")
    assert done.stderr.endswith(f"plugins that are off: {off}\n") or done.stderr.endswith(f"are off: {off})\n")
    assert done.stderr.count("\n") == 1


async def test_without_generation_a_chat_names_the_plugin(tmp_path: Path) -> None:
    settings = KernelSettings(models=str(tmp_path))
    kernel = Kernel(Config(kernel=settings, plugins={"generation": {"enabled": False}}))
    async with kernel.live():
        with pytest.raises(Unsupported, match="no generation here; plugins that are off: generation"):
            _ = kernel.pipeline.generation


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
