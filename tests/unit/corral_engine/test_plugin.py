"""The plugin: light to import, and open to others' architectures and constraints."""

import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

import corral_engine.plugin
from corral import ModelInfo, Settings, Weights, hookimpl
from corral.config import Config
from corral.kernel import Kernel
from corral.plugins import Found
from corral_engine.architecture import Architecture
from corral_engine.architectures.llama import LLAMA
from corral_engine.constraints import ConstraintCompiler


class NoKeys(Settings, frozen=True):
    """None."""


class ThirdParty:
    """A family of its own, and a compiler."""

    Config = NoKeys
    kinds = frozenset({"haiku"})

    def __init__(self, config: NoKeys) -> None:
        self.config = config

    @hookimpl
    def corral_engine_architectures(self) -> Iterable[Architecture]:
        return [replace(LLAMA, name="cattle", activation="relu")]

    @hookimpl
    def corral_engine_constraints(self) -> Iterable[ConstraintCompiler]:
        return [self]  # type: ignore[list-item]


def found(name: str, cls: Any) -> Found:
    return Found(name, "test", lambda: cls, built_in=True, value=name)


async def test_others_add_architectures_and_constraints() -> None:
    plugins = [found("engine", corral_engine.plugin.Plugin), found("cattle", ThirdParty)]
    kernel = Kernel(Config(), plugins)
    kernel.plugins.require()
    engine: Any = kernel.engines["corral"]
    info = ModelInfo(architecture="cattle", metadata={}, tensors=())
    assert not engine.fits(info)
    hook = kernel.plugins.manager.hook
    async with engine_lifespan(hook, kernel):
        assert engine.fits(info)
        assert [compiler.kinds for compiler in engine.parts().compilers] == [{"haiku"}]
        assert not engine.fits(ModelInfo(architecture="llama", metadata={}, tensors=(), kind="adapter"))
        assert not engine.fits(ModelInfo(architecture="mamba", metadata={}, tensors=()))


def engine_lifespan(hook: Any, kernel: Kernel) -> Any:
    (lifespan,) = hook.corral_lifespan(kernel=kernel)
    return lifespan


@pytest.mark.parametrize(("name", "expected"), [("llama", {"completion"}), ("bert", {"embedding"})])
def test_capabilities(write: Callable[..., Weights], name: str, expected: set[str]) -> None:
    plugin = corral_engine.plugin.Plugin(corral_engine.plugin.EngineConfig())
    assert set(plugin.corral_capabilities(write(name).info)) == expected
    assert list(plugin.corral_capabilities(ModelInfo(architecture="mamba", metadata={}, tensors=()))) == []


def test_the_import_is_light() -> None:
    code = "import corral_engine, sys; assert not {'numpy', 'numba', 'gguf', 'structlog'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
