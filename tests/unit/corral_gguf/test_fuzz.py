"""Whatever the bytes are, opening them gives weights or a FormatError."""

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from corral import FormatError
from corral_gguf.loader import GgufLoader

INTERESTING = (0, 1, 0x7F, 0x80, 0xFF)
N_MUTATIONS = 10_000


def open_and_use(path: Path) -> None:
    try:
        weights = GgufLoader(use_mmap=False).open(path)
    except FormatError:
        return
    try:
        weights.vocab()
        for tensor in weights.info.tensors:
            assert weights.tensor(tensor.name).data.nbytes == tensor.size_bytes
    except FormatError:
        return
    finally:
        weights.close()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200).map(lambda tail: b"GGUF\x03\0\0\0" + tail))
def test_random_bytes_after_the_magic(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "random.gguf"
    path.write_bytes(content)
    open_and_use(path)


def test_f12_ten_thousand_mutations(tiny_path: Path, tmp_path: Path) -> None:
    content = tiny_path.read_bytes()
    chance = random.Random(12)
    path = tmp_path / "mutated.gguf"
    for _ in range(N_MUTATIONS):
        changed = bytearray(content)
        for _ in range(chance.randint(1, 4)):
            position = chance.randrange(len(changed))
            if chance.random() < 0.5:
                changed[position] = chance.choice(INTERESTING)
            else:
                changed[position] ^= 1 << chance.randrange(8)
        path.write_bytes(changed)
        open_and_use(path)


@pytest.mark.parametrize("value", [0, 1, 0xFFFFFFFF, 1 << 31, 1 << 62, 1 << 63, (1 << 64) - 1])
def test_f12_every_position_holds_an_extreme_number(value: int, tiny_path: Path, tmp_path: Path) -> None:
    content = tiny_path.read_bytes()
    path = tmp_path / "extreme.gguf"
    for position in range(8, len(content) - 400, 3):
        changed = bytearray(content)
        changed[position : position + 8] = value.to_bytes(8, "little")
        path.write_bytes(changed)
        open_and_use(path)
