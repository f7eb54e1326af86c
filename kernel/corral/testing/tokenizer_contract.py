"""Laws of every tokenizer.  Subclass `TokenizerContract` in a test module and supply its fixture."""

import pytest

from corral.errors import BadRequest
from corral.protocols import Tokenizer

TEXTS = (
    "",
    "a",
    "Hello, world!",
    "  two  spaces\n\n\tand a tab\r\n",
    "naïve café — 你好 🦙👨‍👩‍👧",
    "e\u0301\u200d\ufffd",
    "\0 NUL \0",
    "1234567 3.14 I'm WE'LL",
    "<|im_start|> <s> </s> [CLS] <0x41> <0x-1>",
    "lone \ud800 surrogate \udfff",
    "a" * 300,
)


class TokenizerContract:
    """A subclass supplies `tokenizer`."""

    @pytest.fixture
    def tokenizer(self) -> Tokenizer:
        raise NotImplementedError("supply the tokenizer under test")

    def test_ids_are_in_the_vocabulary(self, tokenizer: Tokenizer) -> None:
        known = range(tokenizer.vocab_size)
        for text in TEXTS:
            for parse_special in (False, True):
                ids = tokenizer.encode(text, add_special=True, parse_special=parse_special)
                assert all(token_id in known for token_id in ids)
        assert all(token_id in known for token_id in tokenizer.eog_ids)
        assert tokenizer.bos_id == -1 or tokenizer.bos_id in known

    def test_encoding_is_repeatable(self, tokenizer: Tokenizer) -> None:
        for text in TEXTS:
            assert tokenizer.encode(text) == tokenizer.encode(text)

    def test_nothing_is_encoded_as_nothing(self, tokenizer: Tokenizer) -> None:
        assert tokenizer.encode("") == []
        assert tokenizer.decode([]) == ""

    def test_special_tokens_are_added_at_the_ends_only(self, tokenizer: Tokenizer) -> None:
        frame = tokenizer.encode("", add_special=True)
        assert len(frame) >= tokenizer.adds_bos + tokenizer.adds_eos
        for text in TEXTS:
            plain, framed = tokenizer.encode(text), tokenizer.encode(text, add_special=True)
            places = range(tokenizer.adds_bos, len(frame) + 1 - tokenizer.adds_eos)
            assert any(framed == frame[:place] + plain + frame[place:] for place in places)

    def test_decode_joins_the_bytes_of_the_tokens(self, tokenizer: Tokenizer) -> None:
        for text in TEXTS:
            ids = tokenizer.encode(text, add_special=True)
            for special in (False, True):
                content = b"".join(tokenizer.token_bytes(token_id, special=special) for token_id in ids)
                decoded = tokenizer.decode(ids, special=special)
                assert isinstance(decoded, str)
                if not _is_broken(content):
                    assert decoded == content.decode()

    def test_streamed_text_equals_the_batch_decode_at_every_split(self, tokenizer: Tokenizer) -> None:
        for text in TEXTS:
            ids = tokenizer.encode(text, add_special=True)
            for special in (False, True):
                for end in range(len(ids) + 1):
                    detokenizer = tokenizer.stream(special=special)
                    parts = [detokenizer.push(token_id) for token_id in ids[:end]]
                    streamed = "".join(parts) + detokenizer.flush()
                    assert streamed == tokenizer.decode(ids[:end], special=special)
                    assert detokenizer.stopped_by is None

    def test_a_stream_never_shows_half_a_character(self, tokenizer: Tokenizer) -> None:
        for text in TEXTS:
            ids = tokenizer.encode(text)
            if "\ufffd" not in tokenizer.decode(ids):
                detokenizer = tokenizer.stream()
                assert not any("\ufffd" in detokenizer.push(token_id) for token_id in ids)

    def test_a_stream_is_cut_before_the_first_stop_string(self, tokenizer: Tokenizer) -> None:
        for text in TEXTS:
            ids = tokenizer.encode(text)
            whole = tokenizer.decode(ids)
            for start in range(0, len(whole), 7):
                stop = whole[start : start + 3]
                if "\ufffd" in stop:
                    continue
                detokenizer = tokenizer.stream([stop, "\ue000 occurs nowhere"])
                streamed = "".join(detokenizer.push(token_id) for token_id in ids) + detokenizer.flush()
                assert streamed == whole[: whole.index(stop)]
                assert detokenizer.stopped_by == stop
                assert detokenizer.push(ids[0]) == detokenizer.flush() == ""

    def test_what_is_not_a_stop_string_is_never_lost(self, tokenizer: Tokenizer) -> None:
        for text in TEXTS:
            ids = tokenizer.encode(text)
            whole = tokenizer.decode(ids)
            stops = [whole[-3:] + "\ue000", "\ue000", ""]
            detokenizer = tokenizer.stream(stops)
            assert "".join(detokenizer.push(token_id) for token_id in ids) + detokenizer.flush() == whole
            assert detokenizer.stopped_by is None

    @pytest.mark.parametrize("offset", [-1, 0, 1 << 40])
    def test_an_unknown_id_is_a_bad_request(self, tokenizer: Tokenizer, offset: int) -> None:
        token_id = offset if offset < 0 else tokenizer.vocab_size + offset
        with pytest.raises(BadRequest):
            tokenizer.decode([token_id])
        with pytest.raises(BadRequest):
            tokenizer.token_bytes(token_id)
        with pytest.raises(BadRequest):
            tokenizer.stream().push(token_id)


def _is_broken(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return True
    return False
