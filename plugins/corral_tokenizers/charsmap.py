"""SentencePiece's precompiled character map: the longest prefix found in a trie is replaced by a string.

The trie is an XOR-compressed double array of 32-bit entries, followed by NUL-terminated replacements.
Source: https://github.com/google/sentencepiece (`normalizer.cc`) and Yata et al., "darts-clone".
"""

import re
import struct

from corral import FormatError

_ASCII_RUN = re.compile("[\x00-\x7f]+")
_LONGEST_KEY = 32  # characters looked at for one match


class CharacterMap:
    """Normalises text by a precompiled map.  An empty map changes nothing."""

    def __init__(self, blob: bytes) -> None:
        self._entries: tuple[int, ...] = ()
        self._replacements = b""
        self._ascii: dict[int, str] = {}
        if not blob:
            return
        if len(blob) < 4:
            raise FormatError("the precompiled character map is shorter than its own header")
        (trie_bytes,) = struct.unpack_from("<I", blob)
        if trie_bytes % 4 or not 4 <= trie_bytes <= len(blob) - 4:
            raise FormatError(f"the precompiled character map says its trie has {trie_bytes} of {len(blob) - 4} bytes")
        self._entries = struct.unpack_from(f"<{trie_bytes // 4}I", blob, 4)
        self._replacements = blob[4 + trie_bytes :]
        for code in range(128):
            found = self._longest(bytes([code]))
            if found is not None:
                self._ascii[code] = found[1]

    def normalize(self, text: str) -> str:
        """Left to right, the longest known prefix replaced, every other character kept."""
        if not self._entries:
            return text
        parts: list[str] = []
        position = 0
        while position < len(text):
            run = _ASCII_RUN.match(text, position)
            if run is not None:
                # The last character may combine with the one after it; keys of two ASCII characters do not occur.
                end = run.end() if run.end() == len(text) else run.end() - 1
                parts.append(text[position:end].translate(self._ascii))
                position = end
                if position == len(text):
                    break
            position = self._replace_one(text, position, parts)
        return "".join(parts)

    def _replace_one(self, text: str, position: int, parts: list[str]) -> int:
        """Handle the prefix at `position`; return where the rest begins."""
        head = text[position : position + _LONGEST_KEY]
        found = self._longest(head.encode())
        if found is None:
            parts.append(head[0])
            return position + 1
        n_bytes, replacement = found
        parts.append(replacement)
        # A key is whole characters; a map that ends within one would lose the rest of it, so count it as read.
        return position + len(head.encode()[:n_bytes].decode("utf-8", "replace"))

    def _longest(self, key: bytes) -> tuple[int, str] | None:
        """The longest prefix of `key` in the trie: its bytes and its replacement."""
        entries = self._entries
        found: tuple[int, int] | None = None
        node = _base(entries[0])
        for count, byte in enumerate(key, 1):
            if byte == 0:
                break
            node ^= byte
            if node >= len(entries) or entries[node] & 0x800000FF != byte:
                break
            is_leaf = entries[node] >> 8 & 1
            node ^= _base(entries[node])
            if is_leaf:
                if node >= len(entries):
                    break
                found = count, entries[node] & 0x7FFFFFFF
        return None if found is None else (found[0], self._replacement(found[1]))

    def _replacement(self, start: int) -> str:
        end = self._replacements.find(b"\0", start)
        if start > len(self._replacements) or end < 0:
            raise FormatError(f"the precompiled character map has no replacement at {start}")
        return self._replacements[start:end].decode("utf-8", "replace")


def _base(entry: int) -> int:
    return entry >> 10 << ((entry & 0x200) >> 6)
