"""What the plugin offers to the kernel and to other plugins."""

import subprocess
import sys
from types import SimpleNamespace

import pluggy

from corral import hookimpl
from corral.hookspecs import Hooks
from corral_templates import Answer, OutputFamily, Plugin, choose, detect
from corral_templates.output.choice import PlainText
from corral_templates.output.families import BUILT_IN

MINE = OutputFamily(names=("mine",), implied_by=lambda text: "<mine>" in text, parser=lambda answer: PlainText())


class Third:
    """A third party's plugin."""

    @hookimpl
    def corral_output_parsers(self) -> list[OutputFamily]:
        return [MINE]


def manager() -> tuple[pluggy.PluginManager, Plugin]:
    found = pluggy.PluginManager("corral")
    found.add_hookspecs(Hooks)
    plugin = Plugin(Plugin.Config())
    found.register(plugin)
    for specs in found.hook.corral_hookspecs():
        for spec in specs:
            found.add_hookspecs(spec)
    found.register(Third())
    found.check_pending()
    return found, plugin


def test_two_engines_and_those_for_what_they_cannot_render() -> None:
    found, _ = manager()
    names = [engine.name for engine in found.hook.corral_templates()[0]]
    assert names == ["go", "jinja", "faulty-go", "faulty-jinja", "renderers"]


async def test_families_of_other_plugins_come_first() -> None:
    found, plugin = manager()
    go = next(iter(plugin.corral_templates()))
    assert plugin.families() == BUILT_IN

    def offers(hook: str) -> list[tuple[str, OutputFamily]]:
        return [("any", family) for families in getattr(found.hook, hook)() for family in families]

    kernel = SimpleNamespace(plugins=SimpleNamespace(offers=offers))
    (lifespan,) = found.hook.corral_lifespan(kernel=kernel)
    async with lifespan:
        assert plugin.families() == (MINE, *BUILT_IN)
        template = go.compile("{{ .Prompt }}<mine>")
        assert template.style.family is MINE  # type: ignore[attr-defined]  # a GoTemplate


def test_nothing_heavy_is_imported_at_boot() -> None:
    code = "import sys, corral_templates; print([m for m in ('jinja2', 'numpy', 'numba') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names() -> None:
    assert callable(choose)
    assert detect("nothing known") is None
    assert Answer((), "").prompt == ""
