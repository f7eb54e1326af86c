"""A tokenizer with one token a byte, for tests: ids 0–255 are the bytes, then BOS and end of generation."""

import codecs
from collections.abc import Collection, Sequence

from corral import BadRequest, Vocab

BOS, EOS = 256, 257
SPECIAL = {BOS: "<s>", EOS: "</s>"}


class BytesTokenizers:
    """The kind "bytes"."""

    name = "bytes"

    def build(self, vocab: Vocab) -> "BytesTokenizer":
        """`vocab.add_bos` and `vocab.add_eos` are obeyed; nothing is added by default."""
        return BytesTokenizer(adds_bos=bool(vocab.add_bos), adds_eos=bool(vocab.add_eos))


class BytesTokenizer:
    """Text to its UTF-8 bytes and back."""

    vocab_size = 258
    bos_id = BOS
    eog_ids = frozenset({EOS})

    def __init__(self, *, adds_bos: bool = False, adds_eos: bool = False) -> None:
        self.adds_bos, self.adds_eos = adds_bos, adds_eos

    def encode(self, text: str, *, add_special: bool = False, parse_special: bool = True) -> list[int]:
        """One id a byte; with `parse_special`, "<s>" and "</s>" are single tokens."""
        ids = [BOS] if add_special and self.adds_bos else []
        while text:
            cuts = [(at, token_id) for token_id, name in SPECIAL.items() if (at := text.find(name)) >= 0]
            if not parse_special or not cuts:
                ids += text.encode()
                break
            at, token_id = min(cuts)
            ids += [*text[:at].encode(), token_id]
            text = text[at + len(SPECIAL[token_id]) :]
        return ids + ([EOS] if add_special and self.adds_eos else [])

    def decode(self, token_ids: Sequence[int], *, special: bool = False) -> str:
        """Incomplete characters become U+FFFD."""
        return b"".join(self.token_bytes(token_id, special=special) for token_id in token_ids).decode(errors="replace")

    def token_bytes(self, token_id: int, *, special: bool = True) -> bytes:
        """Raises BadRequest for an id outside the vocabulary."""
        if 0 <= token_id < 256:
            return bytes([token_id])
        if token_id not in SPECIAL:
            raise BadRequest(f"token id {token_id} is not in the vocabulary of {self.vocab_size} tokens")
        return SPECIAL[token_id].encode() if special else b""

    def stream(self, stop: Sequence[str] = (), *, special: bool | Collection[str] = False) -> "BytesDetokenizer":
        """A detokenizer that ends at the first of `stop`."""
        return BytesDetokenizer(self, stop, special=special)


class BytesDetokenizer:
    """Whole characters only; holds back what may become a stop string."""

    def __init__(self, tokenizer: BytesTokenizer, stop: Sequence[str], *, special: bool | Collection[str]) -> None:
        self.tokenizer, self.stop = tokenizer, [text for text in stop if text]
        self.shown = special if not isinstance(special, bool) else SPECIAL.values() if special else ()
        self.stopped_by: str | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""

    def push(self, token_id: int) -> str:
        """The text that is certain after this token."""
        if self.stopped_by is not None:
            return ""
        special = SPECIAL.get(token_id) in self.shown
        text = self._held + self._decoder.decode(self.tokenizer.token_bytes(token_id, special=special))
        hits = [(at, stop) for stop in self.stop if (at := text.find(stop)) >= 0]
        if hits:
            at, self.stopped_by = min(hits)
            self._held = ""
            return text[:at]
        longest = max(map(len, self.stop), default=1) - 1
        starts = range(max(len(text) - longest, 0), len(text))
        keep = next((at for at in starts if any(stop.startswith(text[at:]) for stop in self.stop)), len(text))
        self._held = text[keep:]
        return text[:keep]

    def flush(self) -> str:
        """What was held back; nothing after a stop string."""
        if self.stopped_by is not None:
            return ""
        held, self._held = self._held + self._decoder.decode(b"", final=True), ""
        return held
