"""From a vocabulary to its tokenizer: one kind for each algorithm, with that algorithm's defaults."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from msgspec.structs import replace

from corral import FormatError, Tokenizer, TokenizerKind, Unsupported, Vocab
from corral_tokenizers.patterns import PreTokenizer, pre_tokenizer, raw_lines
from corral_tokenizers.pieces import Pieces, Spell, spell_byte_level, spell_spaces
from corral_tokenizers.roles import Roles, find_roles, token_index
from corral_tokenizers.specials import Specials
from corral_tokenizers.tokenizer import Frame, Segmenter, VocabTokenizer

_MASK_SWALLOWS_SPACE = ("jina-v2-de", "jina-v2-es", "jina-v2-code")
_PHI3_TOKENS = ("<|placeholder1|>", "<|assistant|>", "<|end|>")  # no key names the family
_KEEPS_SPACE_AFTER = ("<unk>", "<s>", "<|endoftext|>")


@dataclass(slots=True)
class Kind:
    """The `TokenizerKind` of one algorithm; a tokenizer.json, when there is one, is run as it is."""

    name: str
    from_keys: Callable[[Vocab], Tokenizer]

    def build(self, vocab: Vocab) -> Tokenizer:
        """Raises FormatError for an inconsistent vocabulary, Unsupported for one that has no tokenizer here."""
        if vocab.tokenizer_json:
            from corral_tokenizers.huggingface import JsonTokenizer

            return JsonTokenizer(vocab)
        return self.from_keys(vocab)


def kinds(*, llama_cpp_patterns: bool) -> Iterable[TokenizerKind]:
    """All kinds of this plugin.  They can be pickled: a model in another process has its tokenizer there."""
    yield Kind("gpt2", partial(_byte_level, llama_cpp_patterns=llama_cpp_patterns))
    yield Kind("gemma4", _lines)
    yield Kind("llama", _sentencepiece)
    yield Kind("bert", partial(_wordpiece, as_llama_cpp=llama_cpp_patterns))
    yield Kind("t5", _unigram)
    yield Kind("none", _no_vocabulary)


def _byte_level(vocab: Vocab, *, llama_cpp_patterns: bool) -> Tokenizer:
    return _byte_pair(vocab, pre_tokenizer(vocab.pre, llama_cpp_patterns=llama_cpp_patterns))


def _lines(vocab: Vocab) -> Tokenizer:
    return _byte_pair(vocab, raw_lines())


def _byte_pair(vocab: Vocab, rules: PreTokenizer) -> Tokenizer:
    from corral_tokenizers.bpe import BytePairSegmenter

    index = token_index(vocab.tokens)
    frame = Frame(
        bos_id=vocab.bos_id,
        front_id=_added(vocab.add_bos if rules.byte_level else None, rules.add_bos, vocab.bos_id, "bos"),
        back_id=_added(vocab.add_eos, False, vocab.eos_id, "eos"),
        space_prefix=bool(vocab.add_space_prefix),
        clean_spaces=rules.clean_spaces,
    )
    spell = spell_byte_level() if rules.byte_level else spell_spaces
    return _assemble(vocab, find_roles(vocab, index), BytePairSegmenter(index, vocab.merges, rules), frame, spell)


def _sentencepiece(vocab: Vocab) -> Tokenizer:
    from corral_tokenizers.sentencepiece import SentencePieceSegmenter

    vocab = _with_defaults(vocab, bos_id=1, eos_id=2, unk_id=0)
    index = token_index(vocab.tokens)
    space_prefix = vocab.add_space_prefix is not False
    frame = Frame(
        bos_id=vocab.bos_id,
        front_id=_added(vocab.add_bos, True, vocab.bos_id, "bos"),
        back_id=_added(vocab.add_eos, False, vocab.eos_id, "eos"),
        space_prefix=space_prefix,
    )
    segmenter = SentencePieceSegmenter(vocab, index, max(vocab.unk_id, 0), space_prefix=space_prefix)
    return _assemble(vocab, find_roles(vocab, index), segmenter, frame, spell_spaces)


def _wordpiece(vocab: Vocab, *, as_llama_cpp: bool) -> Tokenizer:
    from corral_tokenizers.wordpiece import WordPieceSegmenter

    if vocab.bos_id < 0:
        vocab = replace(vocab, bos_id=vocab.cls_id)
    vocab = _with_defaults(vocab, bos_id=101, unk_id=100, sep_id=102, pad_id=0, mask_id=103)
    index = token_index(vocab.tokens)
    frame = Frame(bos_id=vocab.bos_id, front_id=vocab.bos_id, back_id=vocab.sep_id, clean_spaces=True)
    segmenter = WordPieceSegmenter(index, max(vocab.unk_id, 0), as_llama_cpp=as_llama_cpp)
    return _assemble(vocab, find_roles(vocab, index), segmenter, frame, spell_spaces)


def _unigram(vocab: Vocab) -> Tokenizer:
    from corral_tokenizers.unigram import UnigramSegmenter

    vocab = _with_defaults(vocab, eos_id=1, unk_id=2, pad_id=0)
    roles = find_roles(vocab, token_index(vocab.tokens))
    frame = Frame(
        bos_id=vocab.bos_id,
        front_id=_added(vocab.add_bos, False, vocab.bos_id, "bos"),
        back_id=_added(vocab.add_eos, True, vocab.eos_id, "eos"),
        space_prefix=bool(vocab.add_space_prefix),
    )
    return _assemble(vocab, roles, UnigramSegmenter(vocab, roles.types, max(vocab.unk_id, 0)), frame, spell_spaces)


def _no_vocabulary(vocab: Vocab) -> Tokenizer:
    raise Unsupported("the model has no vocabulary: it takes and gives token ids, not text")


def _assemble(vocab: Vocab, roles: Roles, segmenter: Segmenter, frame: Frame, spell: Spell) -> Tokenizer:
    pieces = Pieces(vocab.tokens, roles.types, spell)
    return VocabTokenizer(segmenter, _specials(vocab, roles), pieces, frame, roles.eog_ids)


def _specials(vocab: Vocab, roles: Roles) -> Specials:
    """The splitter, with the white space some families' special tokens swallow; files do not say so."""
    tokens = set(vocab.tokens) if vocab.model == "llama" else set()
    if tokens.issuperset(_PHI3_TOKENS):
        kept = [token_id for token_id, text in enumerate(vocab.tokens) if text not in _KEEPS_SPACE_AFTER]
        return Specials(vocab.tokens, roles, strip_right=frozenset(kept))
    if any(name in vocab.pre for name in _MASK_SWALLOWS_SPACE):
        masks = [token_id for token_id, text in enumerate(vocab.tokens) if text == "<mask>"]
        return Specials(vocab.tokens, roles, strip_left=frozenset(masks))
    return Specials(vocab.tokens, roles)


def _with_defaults(vocab: Vocab, **ids: int) -> Vocab:
    """Ids the algorithm has unless the file names others."""
    missing = {
        name: token_id for name, token_id in ids.items() if getattr(vocab, name) < 0 and token_id < len(vocab.tokens)
    }
    return replace(vocab, **missing)


def _added(flag: bool | None, default: bool, token_id: int, name: str) -> int:
    """The id to add at an end, or -1.  A file that asks for a token it does not name is inconsistent."""
    if flag and token_id < 0:
        raise FormatError(f"the vocabulary asks for a {name} token to be added, but names none")
    return token_id if flag or (flag is None and default) else -1
