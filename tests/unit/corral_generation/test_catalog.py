"""Descriptions of stored models: made once, remembered for the latest."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from corral import ModelConfig, Unsupported
from corral.kernel import Kernel
from corral.testing.fake_weights import fake_weights
from corral.testing.models import add_model
from corral_generation import catalog
from corral_generation.catalog import Catalog


@pytest.fixture
def opened(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the models whose files were opened."""
    names: list[str] = []
    real = kernel.open
    monkeypatch.setattr(kernel, "open", lambda model: names.append(model.ref.model) or real(model))
    return names


async def test_a_model_is_described_once(kernel: Kernel, opened: list[str]) -> None:
    model = await add_model(kernel, "m", fake_weights())
    found = Catalog(kernel)
    assert found.describe(model) is found.describe(model)
    assert opened == ["m"]


async def test_the_one_used_longest_ago_is_forgotten(
    kernel: Kernel, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "_KEPT", 2)
    a, b, c = [await add_model(kernel, name, fake_weights(), system=name) for name in "abc"]
    found = Catalog(kernel)
    for model in (a, b, a, c, a, b):
        found.describe(model)
    assert opened == ["a", "b", "c", "b"]


async def test_capabilities_come_from_all_who_know(kernel: Kernel) -> None:
    weights = fake_weights(capabilities=["completion", "vision"])
    model = await add_model(kernel, "m", weights, template="tools", config=ModelConfig(capabilities=("insert",)))
    assert Catalog(kernel).describe(model).capabilities == {"completion", "vision", "tools", "insert"}


async def test_what_the_engine_cannot_see_or_hear_is_no_capability(kernel: Kernel) -> None:
    config = ModelConfig(capabilities=("vision", "audio"))
    model = await add_model(kernel, "m", fake_weights(capabilities=["completion"]), config=config)
    with_projector = replace(model, projectors=(Path("mmproj.gguf"),))
    assert Catalog(kernel).describe(with_projector).capabilities == {"completion"}


async def test_a_model_that_no_template_engine_renders(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    model = await add_model(kernel, "m", fake_weights())
    for engine in kernel.templates.values():
        monkeypatch.setattr(type(engine), "source_of", lambda *args: None)
    with pytest.raises(Unsupported, match='no template engine renders "m:latest"'):
        Catalog(kernel).describe(model)
