"""ADAPTER: several of them, and only such as fit."""

from collections.abc import Mapping
from pathlib import Path

from corral.kernel import Kernel
from corral_modelfile.adapters import grouped

from .conftest import FITS, Fails, Gguf, Halves, Make, kinds, lora


async def test_several_adapters_keep_their_order(kernel: Kernel, make: Make, gguf: Gguf, tmp_path: Path) -> None:
    paths = [lora(tmp_path / f"{name}.gguf", FITS, {"general.name": name}) for name in ("b", "a", "c")]
    await make("m", files=[gguf("m.gguf")], adapters=paths[:2])
    assert kinds(kernel, "m") == ["model", "adapter", "adapter"]
    assert [path.read_bytes() for path in kernel.find("m").adapters] == [path.read_bytes() for path in paths[:2]]
    await make("more", base="m", adapters=paths[2:])
    assert kinds(kernel, "more") == ["model", "adapter", "adapter", "adapter"]
    assert kernel.find("more").weights == kernel.find("m").weights


async def test_adapters_must_fit(gguf: Gguf, tmp_path: Path, error: Fails) -> None:
    files = [gguf("m.gguf")]

    async def refusal(halves: Halves, metadata: Mapping[str, object] = {}) -> str:
        return await error(files=files, adapters=[lora(tmp_path / "lora.gguf", halves, metadata)])

    assert "is no adapter" in await error(files=files, adapters=[gguf("x.gguf", {"a.b": 2})])
    assert "for gemma2, the base model is llama" in await refusal(FITS, {"general.architecture": "gemma2"})
    assert "of type 'magic': only lora" in await refusal(FITS, {"adapter.type": "magic"})
    assert "alone cannot run" in await error(files=[lora(tmp_path / "lora.gguf", FITS)])
    for shape in ((4, 31), (5, 32)):
        message = await refusal({**FITS, "token_embd.weight.lora_a": shape})
        assert message == (
            f"lora.gguf: the adapter does not fit the base model: token_embd.weight is 64 x 32, "
            f"lora_a {shape[0]} x {shape[1]}, lora_b 64 x 4"
        )
    message = await refusal({"x.weight.lora_a": (4, 32), "x.weight.lora_b": (64, 4)})
    assert message == "lora.gguf: the base model has no tensor x.weight"
    only = {"token_embd.weight.lora_a": (4, 32)}
    assert "token_embd.weight.lora_a has no counterpart" in await refusal(only)
    assert "x.weight is not a part of a LoRA pair" in await refusal({**FITS, "x.weight": (2, 2)})
    assert "it replaces the whole tensor token_embd.weight" in await refusal({**FITS, "token_embd.weight": (64, 32)})


async def test_an_adapter_of_the_embedding_may_be_of_rows(make: Make, gguf: Gguf, tmp_path: Path) -> None:
    rows = {"token_embd.weight.lora_a": (64, 4), "token_embd.weight.lora_b": (32, 4)}
    await make("m", files=[gguf("m.gguf")], adapters=[lora(tmp_path / "lora.gguf", rows)])


def test_files_of_several_adapters_are_told_apart() -> None:
    names = (
        "a/adapter_model.safetensors",
        "a/adapter_config.json",
        "a/b/state.json",
        "c/adapters.safetensors",
        "d.gguf",
    )
    files = {name: name for name in (*names, "c/adapter_config.json", "readme.json")}
    assert [sorted(group) for group in grouped(files)] == [
        ["a/adapter_config.json", "a/adapter_model.safetensors", "a/b/state.json"],
        ["c/adapter_config.json", "c/adapters.safetensors"],
        ["d.gguf"],
    ]
    one = {"adapter_model.safetensors": "1", "adapter_config.json": "2", "x/y.json": "3"}
    assert grouped(one) == [one]
