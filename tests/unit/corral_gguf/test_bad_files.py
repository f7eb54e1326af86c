"""Hand-made broken files, one for each way a header can lie; the names begin with the fault they belong to."""

import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from corral import FormatError
from corral_gguf.loader import GgufLoader

U32, I32, F32, BOOL, STRING, ARRAY, U64 = 4, 5, 6, 7, 8, 9, 10
HUGE = 1 << 63


def text(content: bytes) -> bytes:
    return struct.pack("<Q", len(content)) + content


def u32(key: bytes, value: int) -> bytes:
    return text(key) + struct.pack("<II", U32, value)


def u64(key: bytes, value: int) -> bytes:
    return text(key) + struct.pack("<IQ", U64, value)


def f32(key: bytes, value: float) -> bytes:
    return text(key) + struct.pack("<If", F32, value)


def string(key: bytes, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", STRING) + text(value)


def array(key: bytes, kind: int, count: int, content: bytes = b"") -> bytes:
    return text(key) + struct.pack("<IIQ", ARRAY, kind, count) + content


def tensor(name: bytes, dims: Sequence[int], offset: int = 0, kind: int = 0, n_dims: int | None = None) -> bytes:
    count = len(dims) if n_dims is None else n_dims
    return text(name) + struct.pack(f"<I{len(dims)}QIQ", count, *dims, kind, offset)


ARCHITECTURE = string(b"general.architecture", b"llama")


def gguf(
    keys: Sequence[bytes] = (),
    tensors: Sequence[bytes] = (),
    data: bytes = bytes(256),
    *,
    version: int = 3,
    n_keys: int | None = None,
    n_tensors: int | None = None,
    magic: bytes = b"GGUF",
) -> bytes:
    keys = [ARCHITECTURE, *keys]
    n_keys = len(keys) if n_keys is None else n_keys
    n_tensors = len(tensors) if n_tensors is None else n_tensors
    head = magic + struct.pack("<IQQ", version, n_tensors, n_keys) + b"".join(keys) + b"".join(tensors)
    return head + bytes(-len(head) % 32) + data


BAD_FILES = {
    "F06_empty": b"",
    "F06_eight_bytes": b"GGUF\x03\0\0\0",
    "F06_bad_magic": gguf(magic=b"GGML"),
    "F06_swapped_magic": gguf(magic=b"FUGG"),
    "F06_version_0": gguf(version=0),
    "F06_version_4": gguf(version=4),
    "F06_big_endian_version": gguf(version=0x03000000),
    "F06_version_1_of_a_version_3_file": gguf([u32(b"a", 1)], [tensor(b"t", [4])], version=1),
    "F06_n_tensors_2_63": gguf(n_tensors=HUGE),
    "F06_n_tensors_too_many": gguf(n_tensors=1000),
    "F06_n_keys_2_63": gguf(n_keys=HUGE),
    "F06_n_keys_too_many": gguf(n_keys=2),
    "F06_no_architecture": gguf(n_keys=0)[:24] + bytes(8),
    "F07_key_too_long": gguf([struct.pack("<Q", 1 << 40) + b"key"]),
    "F07_key_length_wraps": gguf([struct.pack("<Q", (1 << 64) - 8) + b"key"]),
    "F07_key_empty": gguf([u32(b"", 1)]),
    "F07_key_not_utf8": gguf([u32(b"\xff\xfe", 1)]),
    "F07_key_twice": gguf([u32(b"a", 1), u32(b"a", 2)]),
    "F07_bad_value_type": gguf([text(b"a") + struct.pack("<II", 13, 1)]),
    "F07_string_too_long": gguf([text(b"a") + struct.pack("<IQ", STRING, 1 << 62)]),
    "F07_array_bad_type": gguf([array(b"a", 99, 1)]),
    "F07_array_of_arrays": gguf([array(b"a", ARRAY, 1, struct.pack("<IQI", U32, 1, 1))]),
    "F07_array_2_62": gguf([array(b"a", U32, 1 << 62)]),
    "F07_array_size_wraps": gguf([array(b"a", U64, (1 << 61) + 1)]),
    "F07_strings_2_62": gguf([array(b"a", STRING, 1 << 62)]),
    "F07_strings_end_late": gguf([array(b"a", STRING, 2, text(b"x") + struct.pack("<Q", 1 << 40))]),
    "F07_many_strings_end_late": gguf([array(b"a", STRING, 1010, text(b"abc") * 1000)], data=b"\xff" * 64),
    "F07_architecture_is_a_number": gguf(n_keys=0)[:16] + struct.pack("<Q", 1) + u32(b"general.architecture", 1),
    "F07_context_length_is_text": gguf([string(b"llama.context_length", b"many")]),
    "F08_n_dims_0": gguf(tensors=[tensor(b"t", [])]),
    "F08_n_dims_5": gguf(tensors=[tensor(b"t", [1] * 5)]),
    "F08_n_dims_2_31": gguf(tensors=[tensor(b"t", [1], n_dims=1 << 31)]),
    "F08_dim_0": gguf(tensors=[tensor(b"t", [4, 0])]),
    "F08_dim_negative": gguf(tensors=[tensor(b"t", [4, (1 << 64) - 4])]),
    "F08_product_overflow": gguf(tensors=[tensor(b"t", [1 << 32, 1 << 32])]),
    "F08_product_wraps_to_4": gguf(tensors=[tensor(b"t", [(1 << 62) + 1, 4])]),
    "F08_bytes_overflow": gguf(tensors=[tensor(b"t", [1 << 62])]),
    "F08_pad_wrap": gguf(tensors=[tensor(b"t", [(1 << 62) - 1])]),
    "F08_ragged_row": gguf(tensors=[tensor(b"t", [33], kind=2)]),
    "F08_type_unknown": gguf(tensors=[tensor(b"t", [32], kind=77)]),
    "F08_type_removed": gguf(tensors=[tensor(b"t", [32], kind=4)]),
    "F08_name_too_long": gguf(tensors=[tensor(b"t" * 64, [4])]),
    "F08_name_empty": gguf(tensors=[tensor(b"", [4])]),
    "F09_alignment_0": gguf([u32(b"general.alignment", 0)]),
    "F09_alignment_3": gguf([u32(b"general.alignment", 3)]),
    "F09_alignment_2_31": gguf([u32(b"general.alignment", 1 << 31)], [tensor(b"t", [4])]),
    "F09_alignment_u64": gguf([u64(b"general.alignment", 32)]),
    "F09_alignment_text": gguf([string(b"general.alignment", b"32")]),
    "F09_offset_unaligned": gguf(tensors=[tensor(b"a", [4]), tensor(b"b", [4], 16)]),
    "F10_offset_beyond_the_end": gguf(tensors=[tensor(b"t", [4], 1 << 40)]),
    "F10_offset_plus_size_wraps": gguf(tensors=[tensor(b"t", [4], (1 << 64) - 32)]),
    "F10_overlap": gguf(tensors=[tensor(b"a", [32]), tensor(b"b", [4], 32)]),
    "F10_same_place": gguf(tensors=[tensor(b"a", [4]), tensor(b"b", [4], 0)]),
    "F10_gap": gguf(tensors=[tensor(b"a", [4], 0), tensor(b"b", [4], 64)]),
    "F10_duplicate_name": gguf(tensors=[tensor(b"a", [4]), tensor(b"a", [4], 32)]),
    "F10_one_byte_short": gguf(tensors=[tensor(b"a", [64])])[:-1],
    "F11_context_length_2_40": gguf([u64(b"llama.context_length", 1 << 40)]),
    "F11_context_length_0": gguf([u32(b"llama.context_length", 0)]),
    "F11_heads_0": gguf([u32(b"llama.attention.head_count", 0)], [tensor(b"blk.0.attn_q.weight", [4])]),
    "F11_heads_negative": gguf([text(b"llama.attention.head_count") + struct.pack("<Ii", I32, -1)]),
    "F11_rope_base_nan": gguf([f32(b"llama.rope.freq_base", float("nan"))]),
    "F11_epsilon_infinite": gguf([f32(b"llama.attention.layer_norm_rms_epsilon", float("inf"))]),
}

MODEL = string(b"tokenizer.ggml.model", b"llama")
TOKENS = array(b"tokenizer.ggml.tokens", STRING, 2, text(b"a") + text(b"<0x41>"))
BAD_VOCABULARIES = {
    "F11_no_model": [TOKENS],
    "F11_no_tokens": [MODEL],
    "F11_tokens_are_numbers": [MODEL, array(b"tokenizer.ggml.tokens", U32, 1, bytes(4))],
    "F11_scores_too_few": [MODEL, TOKENS, array(b"tokenizer.ggml.scores", F32, 1, bytes(4))],
    "F11_scores_are_text": [MODEL, TOKENS, array(b"tokenizer.ggml.scores", STRING, 2, text(b"") * 2)],
    "F11_types_too_many": [MODEL, TOKENS, array(b"tokenizer.ggml.token_type", I32, 3, bytes(12))],
    "F11_type_unknown": [MODEL, TOKENS, array(b"tokenizer.ggml.token_type", I32, 2, struct.pack("<ii", 1, 9))],
    "F11_type_negative": [MODEL, TOKENS, array(b"tokenizer.ggml.token_type", I32, 2, struct.pack("<ii", -1, 1))],
    "F11_byte_token_0x-1": [
        MODEL,
        array(b"tokenizer.ggml.tokens", STRING, 1, text(b"<0x-1>")),
        array(b"tokenizer.ggml.token_type", I32, 1, struct.pack("<i", 6)),
    ],
    "F11_byte_token_0xZZ": [
        MODEL,
        array(b"tokenizer.ggml.tokens", STRING, 1, text(b"<0xZZ>")),
        array(b"tokenizer.ggml.token_type", I32, 1, struct.pack("<i", 6)),
    ],
    "F11_bos_is_text": [MODEL, TOKENS, string(b"tokenizer.ggml.bos_token_id", b"1")],
    "F11_add_bos_is_a_number": [MODEL, TOKENS, u32(b"tokenizer.ggml.add_bos_token", 1)],
    "F11_charsmap_is_text": [MODEL, TOKENS, string(b"tokenizer.ggml.precompiled_charsmap", b"map")],
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_broken_file_is_a_format_error_that_names_it(name: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(BAD_FILES[name])
    with pytest.raises(FormatError, match=r"broken\.gguf"):
        GgufLoader().open(path)


@pytest.mark.parametrize("name", BAD_VOCABULARIES)
def test_a_broken_vocabulary_is_a_format_error_that_names_the_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(gguf(BAD_VOCABULARIES[name]))
    weights = GgufLoader().open(path)
    with pytest.raises(FormatError, match=r"broken\.gguf"):
        weights.vocab()
    weights.close()


def test_the_builder_builds_valid_files(tmp_path: Path) -> None:
    path = tmp_path / "good.gguf"
    path.write_bytes(gguf([u32(b"llama.block_count", 1)], [tensor(b"a", [4]), tensor(b"b", [4, 2], 32)]))
    weights = GgufLoader().open(path)
    assert [tensor.shape for tensor in weights.info.tensors] == [(4,), (2, 4)]
    weights.close()


@pytest.mark.parametrize(("name", "words"), [
    ("F07_key_twice", ["key 'a'", "twice", "at byte 86"]),
    ("F08_ragged_row", ["tensor 't'", "33", "Q4_0"]),
    ("F10_offset_beyond_the_end", ["tensor 't'", "1099511627776"]),
    ("F11_rope_base_nan", ["llama.rope.freq_base", "finite"]),
    ("F06_big_endian_version", ["big-endian"]),
])  # fmt: skip
def test_the_message_says_what_and_where(name: str, words: list[str], tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(BAD_FILES[name])
    with pytest.raises(FormatError) as caught:
        GgufLoader().open(path)
    for word in words:
        assert word in caught.value.message
    assert str(tmp_path) not in caught.value.message
