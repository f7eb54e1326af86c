"""Files are written as a stream, exactly, or not at all."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from corral import FormatError, TensorInfo
from corral_gguf.constants import ValueType
from corral_gguf.loader import GgufLoader
from corral_gguf.reader import Metadata
from corral_gguf.writer import TensorSource, sources_of, tensor_size, write_gguf


def info(name: str = "t", kind: str = "F32", shape: tuple[int, ...] = (8,)) -> TensorInfo:
    return TensorInfo(name=name, type=kind, shape=shape, size_bytes=0)


def test_a_copy_is_equal_byte_for_byte(tiny_path: Path, tmp_path: Path) -> None:
    weights = GgufLoader().open(tiny_path)
    size = write_gguf(tmp_path / "copy.gguf", weights.info.metadata, sources_of(weights))
    weights.close()
    assert size == tiny_path.stat().st_size
    assert (tmp_path / "copy.gguf").read_bytes() == tiny_path.read_bytes()


def test_the_gguf_package_reads_what_we_write(tiny_path: Path) -> None:
    reader = gguf.GGUFReader(tiny_path)
    assert reader.fields["general.architecture"].contents() == "llama"
    assert reader.fields["tokenizer.ggml.token_type"].contents() == [2, 3, 3, 6, 1, 1, 1]
    assert reader.fields["tokenizer.ggml.add_bos_token"].contents() is True
    assert [tensor.name for tensor in reader.tensors] == ["token_embd.weight", "output_norm.weight"]
    assert np.array_equal(reader.tensors[0].data.reshape(-1), np.tile(np.arange(7, dtype=np.uint8), 34))


@pytest.mark.parametrize(("value", "kind"), [
    (True, ValueType.BOOL),
    (7, ValueType.UINT32),
    (-7, ValueType.INT32),
    (1 << 40, ValueType.INT64),
    (1 << 63, ValueType.UINT64),
    (0.5, ValueType.FLOAT32),
    ("text", ValueType.STRING),
])  # fmt: skip
def test_types_of_plain_values(value: object, kind: ValueType, tmp_path: Path) -> None:
    path = tmp_path / "plain.gguf"
    write_gguf(path, {"general.architecture": "llama", "key": value}, [])
    weights = GgufLoader().open(path)
    assert isinstance(weights.info.metadata, Metadata)
    assert weights.info.metadata["key"] == value
    assert weights.info.metadata.types["key"] is kind
    weights.close()


@pytest.mark.parametrize(("value", "kind"), [
    ([1, -1], ValueType.INT32),
    ([1, 1 << 40], ValueType.INT64),
    ([1, 1 << 63], ValueType.UINT64),
    ([1, 0.5], ValueType.FLOAT32),
    ([True, False], ValueType.BOOL),
    (["a", "\udcff"], ValueType.STRING),
    (b"\x01\x02", ValueType.UINT8),
])  # fmt: skip
def test_types_of_arrays(value: Any, kind: ValueType, tmp_path: Path) -> None:
    path = tmp_path / "arrays.gguf"
    write_gguf(path, {"general.architecture": "llama", "key": value}, [])
    weights = GgufLoader().open(path)
    assert weights.info.metadata["key"] == list(value)
    assert weights.info.metadata["key"].value_type is kind
    weights.close()


def test_metadata_keeps_its_types(tmp_path: Path) -> None:
    metadata = Metadata({"general.architecture": "llama", "n": 3}, {"n": ValueType.UINT16})
    write_gguf(tmp_path / "a.gguf", metadata, [])
    weights = GgufLoader().open(tmp_path / "a.gguf")
    assert isinstance(weights.info.metadata, Metadata)
    assert weights.info.metadata.types["n"] is ValueType.UINT16
    weights.close()


def test_one_tensor_is_in_memory_at_a_time(tmp_path: Path) -> None:
    alive: list[str] = []

    def chunks(name: str) -> Iterator[bytes]:
        alive.append(name)
        assert alive == [name]
        yield bytes(16)
        yield bytes(16)
        alive.remove(name)

    sources = [TensorSource(info(name), lambda name=name: chunks(name)) for name in ("a", "b", "c")]
    write_gguf(tmp_path / "lazy.gguf", {"general.architecture": "llama"}, sources)
    assert alive == []


@pytest.mark.parametrize("content", [bytes(31), bytes(33), b""])
def test_a_source_of_the_wrong_size_leaves_no_file(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="'t'"):
        write_gguf(tmp_path / "bad.gguf", {}, [TensorSource(info(), lambda: [content])])
    assert list(tmp_path.iterdir()) == []


def test_a_failing_source_leaves_the_old_file(tmp_path: Path) -> None:
    def fail() -> Iterator[bytes]:
        yield bytes(8)
        raise OSError("no space left on device")

    path = tmp_path / "model.gguf"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="no space"):
        write_gguf(path, {}, [TensorSource(info(), fail)])
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("bad", [
    info(kind="Q9_9"),
    info(shape=()),
    info(shape=(1, 1, 1, 1, 1)),
    info(shape=(0,)),
    info(shape=(-8,)),
    info(kind="Q4_0", shape=(33,)),
    info(name=""),
    info(name="n" * 64),
])  # fmt: skip
def test_impossible_tensors_are_refused(bad: TensorInfo, tmp_path: Path) -> None:
    with pytest.raises(FormatError):
        write_gguf(tmp_path / "bad.gguf", {}, [TensorSource(bad, lambda: [bytes(32)])])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("metadata", [
    {"": 1},
    {"key": None},
    {"key": [1, "a"]},
    {"key": [[1], [2]]},
    {"key": 1 << 64},
    {"key": 1e300},
    {"general.alignment": 0},
    {"general.alignment": 24},
    {"general.alignment": "32"},
])  # fmt: skip
def test_impossible_metadata_is_refused(metadata: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(FormatError):
        write_gguf(tmp_path / "bad.gguf", metadata, [])
    assert list(tmp_path.iterdir()) == []


def test_tensor_sizes() -> None:
    assert tensor_size(info(kind="Q4_K", shape=(3, 512))) == 3 * 2 * 144
    assert tensor_size(info(kind="BF16", shape=(5,))) == 10
