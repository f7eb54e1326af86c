"""What each token is for: its type as it is used, and which tokens end a generation.

Files are often wrong or silent about both, so llama.cpp goes by the tokens' texts; so does this module, to the letter.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from corral import FormatError, Vocab

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

_NOT_NORMAL = re.compile(b"[^\x01]")

_EOT = (
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "<EOT>", "_<EOT>",
    "[EOT]", "<｜end▁of▁sentence｜>", "<end_of_utterance>",
)  # fmt: skip
_EOM = ("<|eom_id|>",)
_FILL_IN_MIDDLE: tuple[tuple[str, ...], ...] = (
    ("<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>", "<|code_prefix|>",
     "<|prefix|>"),
    ("<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>", "<|code_suffix|>",
     "<|suffix|>"),
    ("<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>", "<|code_middle|>",
     "<|middle|>"),
)  # fmt: skip
_FILL_IN_MIDDLE_ENDS: tuple[tuple[str, ...], ...] = (
    ("<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"),
    ("<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"),
    ("<|file_sep|>",),
)
_END_OF_GENERATION = (
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>",
    "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>",
    "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>", "<｜end▁of▁sentence｜>", "[e~[",
)  # fmt: skip
_ALWAYS_VISIBLE = ("<|channel|>", "<|message|>", "<|start|>", "<|constrain|>")
# With such a token in the set, "</s>" is an ordinary word of the model's language.
_NORMAL_S_MARKERS = ("<|tool_response>", "<|plamo:eos|>")


@dataclass(frozen=True, slots=True)
class Roles:
    """Types by id, after correction, and the end-of-generation set."""

    types: Sequence[int]
    marked: Sequence[int]  # the ids whose type is not normal, ascending
    eog_ids: frozenset[int]


def token_index(tokens: Sequence[str]) -> dict[str, int]:
    """Id by text; of equal texts the last counts."""
    if not tokens:
        raise FormatError("the vocabulary has no tokens")
    index = dict(zip(tokens, range(len(tokens)), strict=True))
    index.pop("", None)
    return index


def find_roles(vocab: Vocab, index: Mapping[str, int]) -> Roles:
    """Correct the file's types and collect the tokens that end a generation."""
    types = list(vocab.token_types) or [NORMAL] * len(vocab.tokens)
    if types and not 0 <= min(types) <= max(types) <= BYTE:
        raise FormatError(f"the vocabulary has token types from {min(types)} to {max(types)}; known are 0 to {BYTE}")
    if len(types) != len(vocab.tokens):
        raise FormatError(f"the vocabulary has {len(vocab.tokens)} tokens, but {len(types)} token types")
    named = {vocab.eos_id, vocab.eot_id, vocab.eom_id, *vocab.eog_ids} - {-1}
    if named and not 0 <= min(named) <= max(named) < len(types):
        raise FormatError(f"the vocabulary has {len(types)} tokens, but names {sorted(named)} as ends")

    def detect(texts: Sequence[str]) -> int:
        """The first of these texts that is a token; it is a control token whatever the file says."""
        for text in texts:
            if text in index:
                types[index[text]] = CONTROL
                return index[text]
        return -1

    ends = {vocab.eot_id if vocab.eot_id >= 0 else detect(_EOT), vocab.eom_id if vocab.eom_id >= 0 else detect(_EOM)}
    for role in _FILL_IN_MIDDLE:
        detect(role)
    for role in _FILL_IN_MIDDLE_ENDS:
        if not any(index.get(text, -1) in vocab.eog_ids for text in role):
            ends.add(detect(role))
    for text in _END_OF_GENERATION:
        if text in index:
            types[index[text]] = CONTROL
            ends.add(index[text])
    for text in _ALWAYS_VISIBLE:
        if text in index:
            types[index[text]] = USER_DEFINED
    ends |= named
    ends.discard(-1)
    _except_known_families(vocab.tokens, types, ends)
    marked = [match.start() for match in _NOT_NORMAL.finditer(bytes(types))]
    for token_id in marked:
        if types[token_id] == CONTROL and "unused" in vocab.tokens[token_id]:
            types[token_id] = UNUSED
    return Roles(types, marked, frozenset(ends))


def _except_known_families(tokens: Sequence[str], types: list[int], ends: set[int]) -> None:
    """Two families give an end's text to a token that does not end anything."""
    texts = {tokens[token_id]: token_id for token_id in ends}
    calls = "<|call|>" in texts or "<|calls|>" in texts
    if "<|end|>" in texts and calls and ("<|return|>" in texts or "<|flush|>" in texts):
        ends.discard(texts["<|end|>"])
        types[texts["<|end|>"]] = USER_DEFINED
    if "</s>" in texts and any(marker in texts for marker in _NORMAL_S_MARKERS):
        ends.discard(texts["</s>"])
        types[texts["</s>"]] = NORMAL
