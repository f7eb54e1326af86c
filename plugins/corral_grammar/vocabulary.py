"""A model's vocabulary as llguidance wants it."""

from typing import TYPE_CHECKING

from llguidance import LLTokenizer, TokenizerWrapper

if TYPE_CHECKING:
    from corral_engine.constraints import TokenTexts


class _Wrapper(TokenizerWrapper):
    """What `LLTokenizer` reads of a tokenizer.  Control tokens get a mark, so that no text is taken for one."""

    def __init__(self, texts: "TokenTexts") -> None:
        self.is_tokenizer_wrapper = True
        self.bos_token_id = None
        written = list(texts.token_bytes)
        self.special_token_ids = [token_id for token_id, text in enumerate(written) if not text]
        self.tokens = [text or texts.spelling(token_id) for token_id, text in enumerate(written)]
        self._encode = texts.encode
        if not texts.eog_ids:  # the library needs one: a token the model does not have
            self.special_token_ids.append(len(self.tokens))
            self.tokens.append(b"")
        self.eog_ids = sorted(texts.eog_ids) or [len(written)]
        self.eos_token_id = self.eog_ids[0]

    def __call__(self, text: str) -> list[int]:
        return [*self._encode(text)]


def make_tokenizer(texts: "TokenTexts") -> LLTokenizer:
    """Takes a few tenths of a second for a large vocabulary."""
    wrapper = _Wrapper(texts)
    return LLTokenizer(wrapper, eos_token=wrapper.eog_ids, slices=LLTokenizer.json_slices())
