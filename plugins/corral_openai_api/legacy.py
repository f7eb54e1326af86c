"""Log-probabilities as completions tell them: four lists side by side."""

from collections.abc import Iterable

from corral import TokenLogprob
from corral_openai_api.wire import Wire, bounded, text_of


class LegacyLogprobs(Wire, frozen=True):
    """One entry a token in each list; `text_offset` counts characters from the beginning of the choice's text.

    A prompt's first token has no log-probability.
    """

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


def legacy(scored: Iterable[TokenLogprob], offset: int = 0, first: str = "") -> LegacyLogprobs:
    """`offset` is where the tokens begin, `first` the text of a token before them that has no log-probability."""
    tokens = [first] if first else []
    values: list[float | None] = [None] * len(tokens)
    tops: list[dict[str, float] | None] = [None] * len(tokens)
    offsets = [offset] * len(tokens)
    offset += len(first)
    for each in scored:
        text = text_of(each)
        tokens.append(text)
        values.append(bounded(each))
        tops.append({text_of(rival): bounded(rival) for rival in each.top} if each.top else None)
        offsets.append(offset)
        offset += len(text)
    return LegacyLogprobs(tokens=tokens, token_logprobs=values, top_logprobs=tops, text_offset=offsets)
