"""The precompiled character map, against maps built here."""

import struct

import pytest

from corral import FormatError
from corral_tokenizers.charsmap import CharacterMap


def build(rules: dict[str, str]) -> bytes:
    """An XOR-compressed double array for `rules`, laid out one block of 256 entries after the other."""
    replacements, offsets = b"", {}
    for key, replacement in rules.items():
        offsets[key.encode()] = len(replacements)
        replacements += replacement.encode() + b"\0"
    entries = [0] * 256
    pending = [(0, b"")]
    while pending:
        place, prefix = pending.pop(0)
        base = len(entries)  # a multiple of 256, so base ^ byte stays inside the block
        entries += [0] * 256
        entries[place] |= (base ^ place) << 10 if place else base << 10
        if prefix in offsets:
            entries[place] |= 0x100
            entries[base] = offsets[prefix] | 0x80000000
        for byte in sorted({key[len(prefix)] for key in offsets if key.startswith(prefix) and len(key) > len(prefix)}):
            entries[base ^ byte] |= byte
            pending.append((base ^ byte, prefix + bytes([byte])))
    trie = struct.pack(f"<{len(entries)}I", *entries)
    return struct.pack("<I", len(trie)) + trie + replacements


RULES = {"\t": " ", "Ａ": "A", "ﬁ": "fi", "e\u0301": "é", "①": "1", "①②": "twelve", "\u200b": ""}


@pytest.mark.parametrize(("text", "expected"), [
    ("", ""),
    ("plain ASCII", "plain ASCII"),
    ("a\tb", "a b"),
    ("ＡﬁＡ", "AfiA"),
    ("cafe\u0301 e", "café e"),
    ("①②①", "twelve1"),
    ("x\u200by", "xy"),
    ("你好e", "你好e"),
    ("e", "e"),
])  # fmt: skip
def test_the_longest_prefix_is_replaced(text: str, expected: str) -> None:
    assert CharacterMap(build(RULES)).normalize(text) == expected


def test_no_map_changes_nothing() -> None:
    assert CharacterMap(b"").normalize("Ａ\t") == "Ａ\t"


@pytest.mark.parametrize("blob", [b"\0", struct.pack("<I", 400), struct.pack("<II", 3, 0), struct.pack("<I", 0)])
def test_a_broken_map_is_a_format_error(blob: bytes) -> None:
    with pytest.raises(FormatError, match="character map"):
        CharacterMap(blob)


def test_a_map_without_its_replacements_is_a_format_error() -> None:
    blob = build({"Ａ": "A"})
    with pytest.raises(FormatError, match="replacement"):
        CharacterMap(blob[:-2]).normalize("Ａ")
