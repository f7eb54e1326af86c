"""Models in several files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from corral import FormatError, TensorInfo
from corral_gguf.loader import GgufLoader
from corral_gguf.writer import TensorSource, sources_of, write_gguf

Split = Callable[..., Path]
TYPES = {"general.architecture": "llama"}


def part_keys(number: int, count: int, total: int) -> dict[str, Any]:
    return {"split.no": number, "split.count": count, "split.tensors.count": total}


def source(name: str, value: int) -> TensorSource:
    return TensorSource(TensorInfo(name=name, type="F32", shape=(8,), size_bytes=32), lambda: [bytes([value] * 32)])


@pytest.fixture
def split(tmp_path: Path) -> Split:
    """Write three parts; a keyword replaces the keys or tensors of one."""

    def write(keys: dict[int, dict[str, Any]] | None = None, names: str = "abc", skip: int = -1) -> Path:
        for number, name in enumerate(names):
            if number != skip:
                path = tmp_path / f"model-{number + 1:05d}-of-00003.gguf"
                own = TYPES | part_keys(number, 3, 3) | (keys or {}).get(number, {})
                write_gguf(path, own, [source(name, number)])
        return tmp_path / "model-00001-of-00003.gguf"

    return write


def test_the_first_part_opens_all(split: Split) -> None:
    weights = GgufLoader().open(split())
    assert [tensor.name for tensor in weights.info.tensors] == ["a", "b", "c"]
    assert [weights.tensor(name).data[0] for name in "abc"] == [0, 1, 2]
    assert weights.info.parameter_count == 24
    assert not [key for key in weights.info.metadata if key.startswith("split.")]
    weights.close()


def test_the_parts_merge_into_one_file(split: Split, tmp_path: Path) -> None:
    weights = GgufLoader().open(split())
    write_gguf(tmp_path / "whole.gguf", weights.info.metadata, sources_of(weights))
    weights.close()
    whole = GgufLoader().open(tmp_path / "whole.gguf")
    assert [whole.tensor(name).data[0] for name in "abc"] == [0, 1, 2]
    whole.close()


@pytest.mark.parametrize(("change", "words"), [
    ({"skip": 1}, "model-00002-of-00003.gguf"),
    ({"names": "aba"}, "'a' is already in"),
    ({"keys": {0: {"split.count": 4}}}, "part of 4"),
    ({"keys": {0: {"split.tensors.count": 4}}}, "3 tensors, not 4"),
    ({"keys": {0: {"split.no": 1}}}, "open part 1"),
    ({"keys": {1: {"split.no": 2}}}, "do not agree"),
    ({"keys": {2: {"split.count": 2}}}, "do not agree"),
    ({"keys": {0: {"split.count": "3"}}}, "must be an integer"),
])  # fmt: skip
def test_parts_that_do_not_belong_together(split: Split, change: dict[str, Any], words: str) -> None:
    with pytest.raises(FormatError, match=words):
        GgufLoader().open(split(**change))


def test_a_later_part_says_which_to_open(split: Split) -> None:
    path = split().with_name("model-00002-of-00003.gguf")
    with pytest.raises(FormatError, match="open part 1, model-00001-of-00003"):
        GgufLoader().open(path)


def test_another_name_says_how_it_must_be_named(split: Split, tmp_path: Path) -> None:
    path = split().rename(tmp_path / "renamed.gguf")
    with pytest.raises(FormatError, match=r"^split GGUF renamed.gguf: .*PREFIX-00001-of-00003"):
        GgufLoader().open(path)
