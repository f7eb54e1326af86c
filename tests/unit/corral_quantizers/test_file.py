"""Whole files: what is written, what is kept, what happens when it goes wrong."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from corral import BadRequest, CorralError, FormatError, ModelInfo, Progress, Tensor, TensorInfo, Unsupported
from corral.testing.fixtures import found
from corral_gguf.loader import GgufLoader
from corral_gguf.weights import GgufWeights
from corral_gguf.writer import TensorSource, write_gguf
from corral_quantizers import threads
from corral_quantizers.file import dry_run, quantize_file
from corral_quantizers.file_types import FILE_TYPES
from corral_quantizers.formats import FORMATS
from corral_quantizers.hookspecs import QuantizationStopped
from corral_quantizers.plugin import Plugin
from corral_quantizers.provider import BlockQuantizer, Machine
from corral_quantizers.sources import TensorReader

MakeFile = Callable[..., GgufWeights]


def values(weights: GgufWeights, name: str) -> np.ndarray:
    tensor = weights.tensor(name)
    data = np.frombuffer(tensor.data, dtype=np.uint8)
    return BlockQuantizer(FORMATS[tensor.info.type], Machine(1)).dequantize(data, tensor.info.shape)


@pytest.mark.parametrize("kind", ["F16", "BF16", "F32"])
@pytest.mark.parametrize("file_type", FILE_TYPES)
def test_every_tensor_is_what_its_quantizer_makes_of_it(
    file_type: str, kind: str, make_file: MakeFile, shapes: Mapping[str, Any], machine: Machine, tmp_path: Path
) -> None:
    source = make_file(shapes["tiny"], kind)
    done = quantize_file(source, tmp_path / "out.gguf", file_type, machine)
    written = GgufLoader().open(done.path)
    plan = dry_run(source.info, file_type)
    assert done.size_bytes == done.path.stat().st_size == plan.file_bytes
    assert not done.requantized
    assert written.info.quantization == file_type
    assert [tensor.name for tensor in written.info.tensors] == [tensor.name for tensor in source.info.tensors]
    for planned, info in zip(plan.tensors, written.info.tensors, strict=True):
        assert (info.type, info.size_bytes) == (planned.type, planned.size_bytes)
        expected = BlockQuantizer(FORMATS[info.type], Machine(1)).quantize(values(source, info.name))
        assert bytes(written.tensor(info.name).data) == expected.tobytes()


def test_large_tensors_are_written_in_order(
    make_file: MakeFile, shapes: Mapping[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_file(shapes["tiny"])
    quantize_file(source, tmp_path / "whole.gguf", "Q4_K_M", Machine(1))
    monkeypatch.setattr(threads, "CHUNK_WEIGHTS", 8192)
    quantize_file(source, tmp_path / "parts.gguf", "Q4_K_M", Machine(3))
    assert (tmp_path / "whole.gguf").read_bytes() == (tmp_path / "parts.gguf").read_bytes()


def test_metadata_is_kept_with_its_types(shapes: Mapping[str, Any], tmp_path: Path) -> None:
    shape = shapes["tiny"]
    writer = gguf.GGUFWriter(tmp_path / "source.gguf", "llama")
    writer.add_file_type(1)
    writer.add_block_count(2)
    writer.add_uint64("odd.u64", 5)
    writer.add_float64("odd.f64", 0.1)
    writer.add_int8("odd.i8", -3)
    writer.add_array("odd.strings", ["a", "b c", "ü"])
    writer.add_array("odd.ints", [1, -2, 3])
    writer.add_custom_alignment(64)
    for name, sizes in shape.tensors.items():
        writer.add_tensor(name, np.ones(sizes, dtype=np.float16 if len(sizes) > 1 else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    source = GgufLoader().open(tmp_path / "source.gguf")
    quantize_file(source, tmp_path / "out.gguf", "Q8_0", Machine(1))
    before, after = (gguf.GGUFReader(tmp_path / name) for name in ("source.gguf", "out.gguf"))
    changed = {"general.file_type": 7, "general.quantization_version": 2}
    for name, field in before.fields.items():
        if name in changed or name.startswith("GGUF."):
            continue
        assert after.fields[name].types == field.types, name
        assert after.fields[name].contents() == field.contents(), name
    assert {name: after.fields[name].contents() for name in changed} == changed
    assert after.alignment == 64
    names = {name for name in after.fields if not name.startswith("GGUF.")}
    assert names == {name for name in before.fields if not name.startswith("GGUF.")} | set(changed)


def test_the_source_is_not_written(make_file: MakeFile, shapes: Mapping[str, Any], tmp_path: Path) -> None:
    source = make_file(shapes["tiny"])
    before = source.path.read_bytes()
    quantize_file(source, tmp_path / "out.gguf", "Q4_0", Machine(1))
    assert source.path.read_bytes() == before


def test_quantizing_again_is_flagged(make_file: MakeFile, shapes: Mapping[str, Any], tmp_path: Path) -> None:
    source = make_file(shapes["tiny"])
    quantize_file(source, tmp_path / "q8.gguf", "Q8_0", Machine(1))
    first = GgufLoader().open(tmp_path / "q8.gguf")
    assert dry_run(first.info, "Q4_0").requantizes
    done = quantize_file(first, tmp_path / "q4.gguf", "Q4_0", Machine(1))
    assert done.requantized
    second = GgufLoader().open(done.path)
    name = "blk.0.ffn_up.weight"
    expected = BlockQuantizer(FORMATS["Q4_0"], Machine(1)).quantize(values(first, name))
    assert bytes(second.tensor(name).data) == expected.tobytes()
    assert not dry_run(first.info, "Q8_0").requantizes


def test_types_that_are_only_read_are_read(tmp_path: Path, shapes: Mapping[str, Any]) -> None:
    kind = gguf.GGMLQuantizationType.IQ3_S
    block_size, type_size = gguf.GGML_QUANT_SIZES[kind]
    raw = np.random.default_rng(5).integers(0, 256, (64, type_size), dtype=np.uint8)
    raw[:, :2] = np.frombuffer(np.float16(0.01).tobytes(), dtype=np.uint8)
    info = TensorInfo(name="x", type="IQ3_S", shape=(16, 4 * block_size), size_bytes=raw.size)
    reader = TensorReader(info, memoryview(raw).cast("B"), Machine(1).backend)
    assert np.array_equal(reader.read(0, 64 * block_size), gguf.quants.dequantize(raw, kind).reshape(-1))
    assert np.array_equal(reader.read(256, 768), gguf.quants.dequantize(raw[1:3], kind).reshape(-1))


def test_types_that_cannot_be_read_are_named() -> None:
    info = TensorInfo(name="x", type="Q8_1", shape=(1, 32), size_bytes=36)
    with pytest.raises(Unsupported, match="tensor 'x': weights of type Q8_1 cannot be read"):
        TensorReader(info, memoryview(bytes(36)), Machine(1).backend)


def test_progress_rises_to_the_total(make_file: MakeFile, shapes: Mapping[str, Any], tmp_path: Path) -> None:
    source = make_file(shapes["tiny"])
    told: list[Progress] = []
    quantize_file(source, tmp_path / "out.gguf", "q4_k_m", Machine(2), progress=told.append)
    done = [step.completed_bytes for step in told]
    assert done == sorted(done)
    assert done[-1] == told[-1].total_bytes == dry_run(source.info, "Q4_K_M").tensor_bytes
    assert {step.status for step in told} == {"quantizing F16 model to Q4_K_M"}


@pytest.mark.parametrize("after", [0, 1, 7])
def test_stopping_leaves_nothing_behind(
    after: int, make_file: MakeFile, shapes: Mapping[str, Any], tmp_path: Path
) -> None:
    source = make_file(shapes["tiny"])
    out = tmp_path / "folder"
    out.mkdir()
    asked = 0

    def should_stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > after

    with pytest.raises(QuantizationStopped):
        quantize_file(source, out / "out.gguf", "Q4_K_M", Machine(2), should_stop=should_stop)
    assert asked == after + 1
    assert not list(out.iterdir())


def test_a_nan_names_its_tensor_and_leaves_nothing_behind(
    make_file: MakeFile, shapes: Mapping[str, Any], tmp_path: Path
) -> None:
    source = make_file(shapes["tiny"], broken="blk.1.ffn_down.weight")
    out = tmp_path / "folder"
    out.mkdir()
    with pytest.raises(FormatError, match=r"tensor 'blk.1.ffn_down.weight': weight nan cannot be stored as Q6_K"):
        quantize_file(source, out / "out.gguf", "Q4_K_M", Machine(2))
    assert not list(out.iterdir())


def test_an_existing_file_survives_a_failure(make_file: MakeFile, shapes: Mapping[str, Any], tmp_path: Path) -> None:
    source = make_file(shapes["tiny"])
    out = tmp_path / "out.gguf"
    out.write_bytes(b"precious")
    with pytest.raises(QuantizationStopped):
        quantize_file(source, out, "Q8_0", Machine(1), should_stop=lambda: True)
    assert out.read_bytes() == b"precious"


def test_a_folder_that_cannot_be_written_is_a_clear_error(
    make_file: MakeFile, shapes: Mapping[str, Any], tmp_path: Path
) -> None:
    source = make_file(shapes["tiny"])
    with pytest.raises(CorralError, match=r"cannot write .*No such file or directory"):
        quantize_file(source, tmp_path / "missing" / "out.gguf", "Q8_0", Machine(1))


class ShortWeights:
    """Claims more weights than it has bytes for."""

    path = Path("short.gguf")
    info = ModelInfo(
        architecture="llama",
        metadata={"general.architecture": "llama"},
        tensors=(TensorInfo(name="w.weight", type="F16", shape=(64, 256), size_bytes=64 * 512),),
    )

    def tensor(self, name: str) -> Tensor:
        return Tensor(info=self.info.tensors[0], data=memoryview(bytes(63 * 512)))


def test_bytes_that_are_not_there_are_never_read(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"'w.weight': 32256 bytes are not F16 of shape \(64, 256\)"):
        quantize_file(ShortWeights(), tmp_path / "out.gguf", "Q8_0", Machine(1))  # type: ignore[arg-type]  # a part
    assert not list(tmp_path.iterdir())


def test_an_unknown_file_type_is_a_bad_request(make_file: MakeFile, shapes: Mapping[str, Any], tmp_path: Path) -> None:
    source = make_file(shapes["tiny"])
    with pytest.raises(BadRequest, match="unsupported quantization type Q9"):
        quantize_file(source, tmp_path / "out.gguf", "q9", Machine(1))


@pytest.mark.parametrize(
    ("model", "file_type", "megabytes"),
    [
        ("smollm2-135m", "Q8_0", 143.0),
        ("smollm2-135m", "Q4_K_M", 103.7),
        ("smollm2-135m", "Q4_0", 89.9),
        ("smollm2-135m", "Q2_K", 86.4),
        ("llama-1b", "F16", 2471.8),
        ("llama-1b", "Q8_0", 1313.3),
        ("llama-1b", "Q6_K", 1014.0),
        ("llama-1b", "Q5_K_M", 903.7),
        ("llama-1b", "Q4_K_M", 799.9),
        ("llama-1b", "Q4_K_S", 767.8),
        ("llama-1b", "Q4_0", 763.1),
        ("llama-1b", "IQ4_XS", 740.6),
        ("llama-1b", "Q3_K_L", 724.7),
        ("llama-1b", "Q3_K_S", 633.9),
        ("llama-1b", "Q2_K", 573.0),
    ],
)
def test_sizes_are_the_known_ones(model: str, file_type: str, megabytes: float, shapes: Mapping[str, Any]) -> None:
    info = shapes[model].info()
    sized = tuple(
        TensorInfo(
            name=t.name, type=t.type, shape=t.shape, size_bytes=math.prod(t.shape) * (4 if t.type == "F32" else 2)
        )
        for t in info.tensors
    )
    plan = dry_run(ModelInfo(architecture="llama", metadata=info.metadata, tensors=sized), file_type)
    assert plan.tensor_bytes / 1e6 == pytest.approx(megabytes, abs=0.06)


def test_the_real_model_shrinks_as_planned(smollm2_path: Path, tmp_path: Path) -> None:
    source = GgufLoader().open(smollm2_path)
    plan = dry_run(source.info, "Q4_0")
    done = quantize_file(source, tmp_path / "out.gguf", "Q4_0", Machine())
    assert plan.file_bytes == pytest.approx(done.size_bytes, rel=0.001)
    assert done.requantized
    written = GgufLoader().open(done.path)
    assert written.vocab() == source.vocab()
    name = "blk.7.ffn_down.weight"
    difference = values(written, name) - values(source, name)
    assert np.sqrt((difference**2).mean()) < 0.12 * np.sqrt((values(source, name) ** 2).mean())


async def test_the_plugin_publishes_corral_file_quantizer(
    make_kernel: Callable[..., Any], make_file: MakeFile, shapes: Mapping[str, Any], tmp_path: Path
) -> None:
    kernel = await make_kernel([Plugin])
    quantizer = kernel.plugins.manager.hook.corral_file_quantizer()
    assert "Q4_K_M" in quantizer.file_types
    source = make_file(shapes["tiny"])
    done = quantizer.quantize(source, tmp_path / "out.gguf", "q8_0")
    assert done.size_bytes == quantizer.plan(source.info, "Q8_0").file_bytes
    assert found([Plugin])[0].name == "quantizers"


def test_a_split_source_becomes_one_file(shapes: Mapping[str, Any], tmp_path: Path) -> None:
    shape = shapes["tiny"]
    info = shape.info("F32")
    halves = (info.tensors[:9], info.tensors[9:])
    for number, tensors in enumerate(halves):
        keys = {"split.no": number, "split.count": 2, "split.tensors.count": len(info.tensors)}
        metadata = {**(shape.metadata if number == 0 else {}), **keys}
        sources = [TensorSource(t, lambda t=t: (bytes(4 * math.prod(t.shape)),)) for t in tensors]  # type: ignore[misc]
        write_gguf(tmp_path / f"m-{number + 1:05d}-of-00002.gguf", metadata, sources)
    source = GgufLoader().open(tmp_path / "m-00001-of-00002.gguf")
    quantize_file(source, tmp_path / "out.gguf", "Q8_0", Machine(1))
    written = GgufLoader().open(tmp_path / "out.gguf")
    assert not [key for key in written.info.metadata if key.startswith("split.")]
    assert len(written.info.tensors) == len(info.tensors)
