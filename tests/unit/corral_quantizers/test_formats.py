"""Bytes and values agree with the `gguf` package, and with digests of what llama.cpp writes."""

import hashlib
import json
from pathlib import Path

import gguf
import numpy as np
import pytest

from corral import FormatError
from corral_quantizers import codecs
from corral_quantizers.formats import FORMATS
from corral_quantizers.provider import BlockQuantizer, Machine

GOLDEN = json.loads(Path(__file__).with_name("golden_blocks.json").read_text(encoding="utf-8"))
BLOCKS = [name for name, kind in FORMATS.items() if kind.block_size > 1]
WRITTEN_BY_GGUF = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "MXFP4"]


@pytest.mark.parametrize("name", FORMATS)
def test_geometry_and_ids_are_gguf_s(name: str) -> None:
    kind = FORMATS[name]
    number = gguf.GGMLQuantizationType[name]
    assert (kind.block_size, kind.type_size) == gguf.GGML_QUANT_SIZES[number]
    assert kind.type_id == number


@pytest.mark.parametrize("name", WRITTEN_BY_GGUF)
def test_bytes_equal_those_of_the_gguf_package(name: str, hard_rows: np.ndarray, machine: Machine) -> None:
    ours = BlockQuantizer(FORMATS[name], machine).quantize(hard_rows)
    theirs = gguf.quants.quantize(hard_rows, gguf.GGMLQuantizationType[name])
    assert np.array_equal(ours, np.ascontiguousarray(theirs).view(np.uint8))


@pytest.mark.parametrize("name", BLOCKS)
def test_bytes_equal_those_of_llama_cpp(name: str, hard_rows: np.ndarray, machine: Machine) -> None:
    """The digests were made with llama.cpp's ggml_quantize_chunk on the same rows."""
    blocks = BlockQuantizer(FORMATS[name], machine).quantize(hard_rows)
    assert hashlib.sha256(blocks.tobytes()).hexdigest() == GOLDEN[name]


@pytest.mark.parametrize("name", FORMATS)
def test_values_equal_those_of_the_gguf_package(name: str, machine: Machine) -> None:
    """Any bytes at all, except that NaN scales are left out."""
    kind = FORMATS[name]
    raw = np.random.default_rng(11).integers(0, 256, (4096, kind.type_size), dtype=np.uint8)
    layout = codecs.CODECS[name].layout
    if layout is not None:
        records = raw.view(layout).reshape(-1)
        for field in (field for field in layout.names or () if layout[field].kind == "f"):
            records[field] = np.where(np.isfinite(records[field]), records[field], np.float16(0.5))
    ours = BlockQuantizer(kind, machine).dequantize(raw, (4096 * kind.block_size,))
    with np.errstate(over="ignore"):
        theirs = gguf.quants.dequantize(raw, gguf.GGMLQuantizationType[name]).reshape(-1)
    numbers = ~np.isnan(theirs)
    assert np.array_equal(numbers, ~np.isnan(ours))
    assert np.array_equal(ours[numbers].view(np.uint32), theirs[numbers].view(np.uint32))


def test_every_mxfp4_scale_decodes() -> None:
    raw = np.zeros((256, 17), dtype=np.uint8)
    raw[:, 0] = np.arange(256)
    raw[:, 1:] = np.arange(16) * 17
    ours = BlockQuantizer(FORMATS["MXFP4"], Machine(1, compiled=False)).dequantize(raw, (256, 32))
    with np.errstate(over="ignore"):
        theirs = gguf.quants.dequantize(raw, gguf.GGMLQuantizationType.MXFP4)
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        (0x3F800000, 0x3F80),
        (0x3F808000, 0x3F80),  # halfway, to even
        (0x3F818000, 0x3F82),
        (0x3F808001, 0x3F81),
        (0x7F7FFFFF, 0x7F80),  # rounds to infinity
        (0x7F800000, 0x7F80),
        (0xFF800000, 0xFF80),
        (0x7F800001, 0x7FC0),  # NaN stays NaN
        (0xFFFFFFFF, 0xFFFF),
        (0x00000001, 0x0000),
        (0x80000000, 0x8000),
    ],
)
def test_bf16_rounding(bits: int, expected: int) -> None:
    value = np.array([[bits]], dtype=np.uint32).view(np.float32)
    blocks = BlockQuantizer(FORMATS["BF16"], Machine(1)).quantize(value)
    assert blocks.view("<u2")[0, 0] == expected


def test_bf16_refuses_nothing_and_f16_refuses_what_overflows() -> None:
    rows = np.array([[1e5, 1.0]], dtype=np.float32)
    assert BlockQuantizer(FORMATS["BF16"], Machine(1)).quantize(rows).size == 4
    with pytest.raises(FormatError, match="100000 are too large for F16"):
        BlockQuantizer(FORMATS["F16"], Machine(1)).quantize(rows)


@pytest.mark.parametrize("name", BLOCKS)
def test_nan_is_a_format_error_naming_the_type(name: str, machine: Machine) -> None:
    rows = np.ones((2, 512), dtype=np.float32)
    rows[1, 300] = np.nan
    with pytest.raises(FormatError, match=f"nan cannot be stored as {name}"):
        BlockQuantizer(FORMATS[name], machine).quantize(rows)


@pytest.mark.parametrize("name", ["Q4_0", "Q8_0", "Q4_K", "Q6_K", "IQ4_XS"])
def test_a_scale_beyond_half_floats_is_a_format_error(name: str, machine: Machine) -> None:
    rows = np.linspace(-1e9, 1e9, 512, dtype=np.float32).reshape(1, 512)
    with pytest.raises(FormatError, match="too large"):
        BlockQuantizer(FORMATS[name], machine).quantize(rows)
