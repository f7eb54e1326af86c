"""Valid files of every version, and what is said about them."""

import struct
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from corral import FormatError
from corral_gguf.constants import FILE_TYPES, TENSOR_TYPES, ValueType
from corral_gguf.loader import GgufLoader
from corral_gguf.reader import Metadata
from corral_gguf.writer import TensorSource, write_gguf

VALUES: dict[ValueType, list[Any]] = {
    ValueType.UINT8: [0, 255],
    ValueType.INT8: [-128, 127],
    ValueType.UINT16: [0, 65535],
    ValueType.INT16: [-32768, 32767],
    ValueType.UINT32: [0, 2**32 - 1],
    ValueType.INT32: [-(2**31), 2**31 - 1],
    ValueType.FLOAT32: [0.5, -1.25],
    ValueType.BOOL: [True, False],
    ValueType.STRING: ["", "né 🦙"],
    ValueType.UINT64: [0, 2**64 - 1],
    ValueType.INT64: [-(2**63), 2**63 - 1],
    ValueType.FLOAT64: [0.1, -1e300],
}


def test_every_value_type_written_by_the_gguf_package_is_read(tmp_path: Path) -> None:
    path = tmp_path / "types.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    for kind, values in VALUES.items():
        for number, value in enumerate(values):
            writer.add_key_value(f"{kind.name}.{number}", value, gguf.GGUFValueType(kind))
        writer.add_key_value(f"{kind.name}.all", values, gguf.GGUFValueType.ARRAY, gguf.GGUFValueType(kind))
    rows = np.arange(8, dtype=np.float32).reshape(2, 4)
    writer.add_tensor("rows", rows)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    weights = GgufLoader().open(path)
    metadata = weights.info.metadata
    for kind, values in VALUES.items():
        assert [metadata[f"{kind.name}.0"], metadata[f"{kind.name}.1"]] == values
        assert metadata[f"{kind.name}.all"] == values
    tensor = weights.tensor("rows")
    assert tensor.info.shape == (2, 4)
    assert np.array_equal(np.frombuffer(tensor.data, np.float32).reshape(2, 4), rows)
    weights.close()


def test_our_tables_agree_with_the_gguf_package() -> None:
    assert {kind.name: int(kind) for kind in ValueType} == {kind.name: int(kind) for kind in gguf.GGUFValueType}
    for kind in gguf.GGMLQuantizationType:
        if kind.name == "Q8_1":  # never in files; the package still has the size of an older layout
            continue
        assert TENSOR_TYPES[int(kind)] == (kind.name, *gguf.GGML_QUANT_SIZES[kind])
    for file_type in gguf.LlamaFileType:
        name = file_type.name.removeprefix("MOSTLY_").removeprefix("ALL_")
        if name != "GUESSED":
            assert FILE_TYPES[int(file_type)] == name


def _old_text(content: bytes) -> bytes:
    return struct.pack("<I", len(content)) + content


def test_version_1_has_32_bit_counts_and_perhaps_terminated_strings(tmp_path: Path) -> None:
    names = b"".join(_old_text(name) for name in (b"a\0", b"bc"))
    head = b"GGUF" + struct.pack("<III", 1, 1, 2)
    head += _old_text(b"general.architecture") + struct.pack("<I", 8) + _old_text(b"llama\0")
    head += _old_text(b"names") + struct.pack("<III", 9, 8, 2) + names
    head += _old_text(b"t") + struct.pack("<IIIIQ", 2, 2, 3, 0, 0)
    path = tmp_path / "old.gguf"
    path.write_bytes(head + bytes(-len(head) % 32) + bytes(24))
    weights = GgufLoader().open(path)
    assert weights.info.architecture == "llama"
    assert weights.info.metadata["names"] == ["a", "bc"]
    assert weights.info.tensors[0].shape == (3, 2)
    weights.close()


def test_version_2_is_read_like_version_3(tiny_path: Path, tmp_path: Path) -> None:
    content = bytearray(tiny_path.read_bytes())
    content[4] = 2
    path = tmp_path / "two.gguf"
    path.write_bytes(content)
    weights = GgufLoader().open(path)
    assert weights.info.name == "tiny"
    weights.close()


def test_what_the_file_says_about_itself(tiny_path: Path) -> None:
    weights = GgufLoader().open(tiny_path)
    info = weights.info
    assert (info.architecture, info.kind, info.name, info.quantization) == ("llama", "model", "tiny", "Q8_0")
    assert (info.context_length, info.embedding_length) == (64, 32)
    assert info.parameter_count == 7 * 32 + 32
    assert info.chat_template == "{{ messages }}"
    assert [tensor.size_bytes for tensor in info.tensors] == [238, 128]
    weights.close()


@pytest.mark.parametrize(("changes", "kind"), [
    ({"general.type": "adapter"}, "adapter"),
    ({"general.type": "projector"}, "projector"),
    ({"general.type": "mmproj"}, "projector"),
    ({"general.architecture": "clip", "clip.has_vision_encoder": True}, "projector"),
    ({"general.architecture": "clip", "clip.has_audio_encoder": True}, "projector"),
    ({"general.architecture": "clip", "clip.has_vision_encoder": False}, "model"),
    ({"general.architecture": "mllama", "mllama.vision.block_count": 3}, "projector"),
    ({"general.architecture": "mllama", "mllama.vision.block_count": 3, "mllama.block_count": 2}, "model"),
])  # fmt: skip
def test_kinds(changes: dict[str, Any], kind: str, metadata: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "kind.gguf"
    write_gguf(path, metadata | changes, [])
    weights = GgufLoader().open(path)
    assert weights.info.kind == kind
    weights.close()


@pytest.mark.parametrize(
    ("file_type", "quantization"), [(15, "Q4_K_M"), (1024 + 7, "Q8_0"), (999, "Q8_0"), (None, "Q8_0")]
)
def test_quantization_is_the_file_type_or_that_of_most_weights(
    file_type: int | None, quantization: str, metadata: dict[str, Any], sources: list[TensorSource], tmp_path: Path
) -> None:
    del metadata["general.file_type"]
    if file_type is not None:
        metadata["general.file_type"] = file_type
    path = tmp_path / "type.gguf"
    write_gguf(path, metadata, sources)
    weights = GgufLoader().open(path)
    assert weights.info.quantization == quantization
    weights.close()


def test_an_importance_matrix_needs_no_architecture(tmp_path: Path) -> None:
    path = tmp_path / "imatrix.gguf"
    write_gguf(path, {"general.type": "imatrix"}, [])
    weights = GgufLoader().open(path)
    assert weights.info.architecture == ""
    weights.close()


def test_the_vocabulary_of_a_file_without_tensors(metadata: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "vocab.gguf"
    metadata["tokenizer.ggml.eos_token_ids"] = [2, 5]
    metadata["tokenizer.ggml.fim_pad_token_id"] = 4
    metadata["tokenizer.ggml.eot_token_id"] = 2**32 - 1  # many files name ids they do not have
    metadata["tokenizer.ggml.precompiled_charsmap"] = b"map"
    write_gguf(path, metadata, [])
    weights = GgufLoader().open(path)
    vocab = weights.vocab()
    assert weights.info.tensors == ()
    assert list(vocab.tokens) == metadata["tokenizer.ggml.tokens"]
    assert list(vocab.scores) == metadata["tokenizer.ggml.scores"]
    assert list(vocab.token_types) == metadata["tokenizer.ggml.token_type"]
    assert (vocab.model, vocab.bos_id, vocab.eos_id, vocab.eot_id) == ("llama", 1, 2, -1)
    assert (vocab.add_bos, vocab.add_eos, vocab.eog_ids) == (True, None, (2, 5, 4))
    assert vocab.precompiled_charsmap == b"map"
    weights.close()


@pytest.mark.parametrize("name", ["none", "no_vocab"])
def test_a_model_without_a_vocabulary(name: str, tmp_path: Path) -> None:
    path = tmp_path / "none.gguf"
    write_gguf(path, {"general.architecture": "llama", "tokenizer.ggml.model": name}, [])
    weights = GgufLoader().open(path)
    assert weights.vocab().model == "none"
    weights.close()


def test_an_alignment_of_64(metadata: dict[str, Any], sources: list[TensorSource], tmp_path: Path) -> None:
    path = tmp_path / "wide.gguf"
    write_gguf(path, metadata | {"general.alignment": 64}, sources)
    weights = GgufLoader().open(path)
    assert bytes(weights.tensor("token_embd.weight").data) == bytes(range(7)) * 34
    weights.close()


def test_an_array_keeps_its_bytes_after_close(tiny_path: Path) -> None:
    weights = GgufLoader().open(tiny_path)
    array = np.frombuffer(weights.tensor("token_embd.weight").data, np.uint8)
    weights.close()
    assert array.tobytes() == bytes(range(7)) * 34
    with pytest.raises(FormatError, match="closed"):
        weights.tensor("token_embd.weight")


def test_the_real_file(smollm2_path: Path) -> None:
    weights = GgufLoader().open(smollm2_path)
    info, vocab = weights.info, weights.vocab()
    assert (info.architecture, info.quantization, info.parameter_count) == ("llama", "Q4_1", 134_515_008)
    assert (info.context_length, info.embedding_length, len(info.tensors)) == (8192, 576, 272)
    assert (len(vocab.tokens), len(vocab.merges), vocab.pre) == (49152, 48900, "smollm")
    assert (vocab.tokens[1], vocab.merges[0], vocab.tokens[-1]) == ("<|im_start|>", "Ġ t", vocab.tokens[49151])
    assert isinstance(info.metadata, Metadata)
    content = smollm2_path.read_bytes()
    for name, start in (("token_embd.weight", 1_785_664), ("blk.0.attn_v.weight", 34_014_016)):  # from another reader
        data = weights.tensor(name).data
        assert data == content[start : start + data.nbytes]
    weights.close()
