"""BPE with a list of merges: on bytes written as characters, or on the text itself with U+2581 for spaces."""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

from corral_tokenizers.patterns import PreTokenizer
from corral_tokenizers.pieces import SPACE
from corral_tokenizers.rust import bpe_model, run, split_pairs

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Pipeline
    from tokenizers.pre_tokenizers import PreTokenizer as RustPreTokenizer

_CUT = "\U0010ffff"  # a noncharacter: text that contains one gets U+FFFD instead
_ASCII_DIGITS = re.compile("[0-9]+")
_NEWLINES = re.compile("(\n+)")


class BytePairSegmenter:
    """Ids of plain text for a vocabulary with merges."""

    def __init__(self, index: dict[str, int], merges: Sequence[str], rules: PreTokenizer) -> None:
        self._rules = rules
        self._newlines = {} if rules.byte_level else {text: index[text] for text in index if not text.strip("\n")}
        self._pipeline = _pipeline(index, merges, rules)

    def segment(self, text: str, *, after_special: bool) -> list[int]:
        """`after_special` does not matter to BPE."""
        if self._rules.digit_groups:
            text = cut_digits(text.replace(_CUT, "\ufffd"), ascii_only=self._rules.digit_groups == "ascii")
        if self._rules.byte_level:
            return run(self._pipeline, text)
        return list(self._segment_lines(text.replace(" ", SPACE)))

    def _segment_lines(self, text: str) -> Iterator[int]:
        """A run of newlines is one token when there is such a token, whatever the merges say."""
        for part in _NEWLINES.split(text):
            if part in self._newlines:
                yield self._newlines[part]
            elif part:
                yield from run(self._pipeline, part)


def _pipeline(index: dict[str, int], merges: Sequence[str], rules: PreTokenizer) -> "Pipeline":
    from tokenizers import Regex, Tokenizer as Pipeline
    from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split

    pairs = split_pairs(merges)
    model = bpe_model(index, pairs, ignore_merges=rules.ignore_merges, byte_fallback=not rules.byte_level)
    pipeline = Pipeline(model)
    steps: list[RustPreTokenizer] = [Split(_CUT, "removed")] if rules.digit_groups else []
    steps += [Split(Regex(pattern), "isolated") for pattern in rules.patterns]
    if rules.byte_level:
        steps.append(ByteLevel(add_prefix_space=False, use_regex=False))
    pipeline.pre_tokenizer = Sequence(steps)
    return pipeline


def cut_digits(text: str, *, ascii_only: bool) -> str:
    """Mark cuts inside runs of digits, so that groups of three end at each run's right end, and around the runs.

    After a run of ASCII digits there is no cut: other digits may follow, which are counted to its last group.
    """
    last_cut = "" if ascii_only else _CUT

    def group(match: re.Match[str]) -> str:
        digits = match[0]
        first = len(digits) % 3
        groups = [digits[:first], *(digits[place : place + 3] for place in range(first, len(digits), 3))]
        return (_CUT.join(groups) if ascii_only else _CUT + _CUT.join(filter(None, groups))) + last_cut

    return (_ASCII_DIGITS if ascii_only else _numbers()).sub(group, text)


@cache
def _numbers() -> re.Pattern[str]:
    """Runs of characters of the Unicode categories N*."""
    import sys
    import unicodedata

    found = (chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code))[0] == "N")
    return re.compile(f"[{''.join(found)}]+")
