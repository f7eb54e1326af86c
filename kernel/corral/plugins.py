"""Find plugins, configure them, register them, check them: every problem is collected and told at once."""

import importlib.metadata
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pluggy

from corral.config import typed
from corral.errors import PluginError
from corral.hookspecs import Hooks
from corral.types import Value

DISTRIBUTION = "corral"


class PluginRow(Value, frozen=True):
    """One line of `corral plugins`.  state: "on", "off" or "broken"."""

    name: str
    state: str
    origin: str
    note: str = ""


@dataclass(frozen=True)
class Found:
    """A plugin as it was found: an entry point, or a class handed in by a test."""

    name: str
    origin: str
    load: Callable[[], Any]
    built_in: bool
    value: str = ""


def discover() -> list[Found]:
    """All installed plugins (entry points of the group "corral"), built-ins first, then by name."""
    found = []
    for entry in importlib.metadata.entry_points(group="corral"):
        dist = entry.dist
        name, version = (dist.name, dist.version) if dist else ("?", "?")
        built_in = name.lower() == DISTRIBUTION
        found.append(Found(entry.name, f"{name} {version}", entry.load, built_in=built_in, value=entry.value))
    return sorted(found, key=lambda plugin: (not plugin.built_in, plugin.name))


def _configure(cls: Any, table: Mapping[str, Any]) -> Any:
    """The plugin with its typed config.  A table with strings (the environment's) is read leniently.

    An async hook is refused: it would return a coroutine, which is not None and so wins every question unasked.
    """
    for name in dir(cls):
        if name.startswith("corral_") and inspect.iscoroutinefunction(getattr(cls, name)):
            raise TypeError(f"hook {name} is `async def`; hooks are plain functions that return providers")
    texts = any(isinstance(value, str) for value in table.values())
    return cls(typed(dict(table), cls.Config, "configuration", strict=not texts))


class Plugins:
    """The plugin manager and what became of every plugin found."""

    def __init__(self, tables: Mapping[str, Mapping[str, Any]], found: Iterable[Found]) -> None:
        """Load and register.  Raises nothing: `problems` holds what went wrong, `require` turns it into an error."""
        self.manager = pluggy.PluginManager("corral")
        self.manager.add_hookspecs(Hooks)
        self.rows: list[PluginRow] = []
        self.problems: list[str] = []
        for plugin in found:
            self._register(plugin, dict(tables.get(plugin.name, {})))
        for name in set(tables) - {row.name for row in self.rows}:
            self.problems.append(f"[plugins.{name}]: no plugin of that name is installed")
        off = ", ".join(row.name for row in self.rows if row.state == "off")
        self.hint = f"; plugins that are off: {off}" if off else ""  # for who misses something
        self._check()

    def _register(self, plugin: Found, table: dict[str, Any]) -> None:
        state, note = "on", ", ".join(f"{key}={value}" for key, value in table.items() if key != "enabled")
        try:
            if table.pop("enabled", True) in (False, "0", "false"):
                self.manager.set_blocked(plugin.name)
                state, note = "off", "enabled = false"
                return
            self.manager.register(_configure(plugin.load(), table), name=plugin.name)
        except Exception as err:  # any plugin, any fault: collected, told at boot with all the others
            self.problems.append(f"plugin {plugin.name!r} ({plugin.value}): {err}")
            state, note = "broken", str(err)
        finally:
            self.rows.append(PluginRow(name=plugin.name, state=state, origin=plugin.origin, note=note))

    def _check(self) -> None:
        try:
            offered: list[list[type]] = self.manager.hook.corral_hookspecs()
            for spec in [spec for specs in offered for spec in specs]:
                self.manager.add_hookspecs(spec)
            self.manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as err:
            self.problems.append(str(err))

    def require(self) -> None:
        """Raises PluginError with every problem, one a line."""
        if self.problems:
            raise PluginError("\n".join(self.problems))

    def offers(self, hook: str) -> list[tuple[str, Any]]:
        """(plugin name, provider) of one registry hook.

        Built-ins first, then third parties by name; `tryfirst`/`trylast` move a plugin to the front or the back.
        """
        result = []
        for impl in self._in_order(hook):
            try:
                provided: Iterable[Any] = impl.function()  # type: ignore[assignment]  # pluggy types it as object
                result += [(impl.plugin_name, provider) for provider in provided]
            except Exception as err:  # any plugin, any fault: collected like the others
                self.problems.append(f"plugin {impl.plugin_name!r}: {hook} failed: {err}")
        return result

    def offers_of(self, hook: str, **arguments: Any) -> list[tuple[str, Any]]:
        """(plugin name, answer) of every plugin that implements `hook`, in the order of `offers`."""
        calls = [(impl, [arguments[name] for name in impl.argnames]) for impl in self._in_order(hook)]
        return [(impl.plugin_name, impl.function(*given)) for impl, given in calls]

    def _in_order(self, hook: str) -> list[pluggy.HookImpl]:
        impls = getattr(self.manager.hook, hook).get_hookimpls()
        first = [impl for impl in impls if impl.tryfirst][::-1]
        last = [impl for impl in impls if impl.trylast][::-1]
        middle = [impl for impl in impls if not impl.tryfirst and not impl.trylast]
        return first + middle + last
