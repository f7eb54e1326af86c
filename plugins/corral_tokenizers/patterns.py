r"""The pre-tokenizers of byte-level BPE: which regular expressions a `tokenizer.ggml.pre` name stands for.

A list of patterns splits successively: the first splits the text, the next every piece of it; matches and the gaps
between them are both pieces.  The syntax is Oniguruma's, which the `tokenizers` library runs; `\z` is the end of a
piece.  Source: the models' own tokenizer.json files and llama.cpp's table of names.
"""

import re
from dataclasses import dataclass, replace
from typing import Literal

from corral import Unsupported

_CONTRACTION = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_SPACES = r"\s+(?!\S)|\s+"
_LINES = r"\s*[\r\n]+|" + _SPACES
_SYMBOLS = r" ?[^\s\p{L}\p{N}]+[\r\n]*|" + _LINES
_SYMBOLS_AND_SLASH = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|" + _LINES
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_HAN_KANA = r"[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+"
# DeepSeek's ranges hold white space outside ASCII, which llama.cpp never counts as a letter or a symbol.
_HAN_HANGUL = r"[\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF&&[^\s]]+"
_ASCII_SYMBOL_WORD = r"[!\x22#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"
_MARKED_WORD = r"[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
_LATIN_GREEK_CYRILLIC = (
    r"A-Za-z\u00B5\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u01BA\u01BC-\u01BF\u01C4-\u0293\u0295-\u02AF\u0370-\u0373"
    r"\u0376\u0377\u037B-\u037D\u037F\u0386\u0388-\u038A\u038C\u038E-\u03A1\u03A3-\u03F5\u03F7-\u0481\u048A-\u052F"
    r"\u0531-\u0556\u10A0-\u10C5\u13A0-\u13F5\u13F8-\u13FD\u1C90-\u1CBA\u1CBD-\u1CBF\u1D00-\u1D2B\u1D6B-\u1D77"
    r"\u1D79-\u1D9A\u1E00-\u1F15\u1F18-\u1F1D\u1F20-\u1F45\u1F48-\u1F4D\u1F50-\u1F57\u1F59\u1F5B\u1F5D\u1F5F-\u1F7D"
    r"\u1F80-\u1FB4\u1FB6-\u1FBC\u1FBE\u1FC2-\u1FC4\u1FC6-\u1FCC\u1FD0-\u1FD3\u1FD6-\u1FDB\u1FE0-\u1FEC\u1FF2-\u1FF4"
    r"\u1FF6-\u1FFC\u2102\u2107\u210A-\u2113\u2115\u2119-\u211D\u2124\u2126\u2128\u212A-\u212D\u212F-\u2134\u2139"
    r"\u213C-\u213F\u2145-\u2149\u214E\u2183\u2184\u2C00-\u2C7B\u2C7E-\u2CE4\u2CEB-\u2CEE\u2CF2\u2CF3\uA640-\uA66D"
    r"\uA680-\uA69B\uA722-\uA76F\uA771-\uA787\uA78B-\uA78E\uAB70-\uABBF\uFB00-\uFB06\uFB13-\uFB17\uFF21-\uFF3A"
    r"\uFF41-\uFF5A\U00010400-\U0001044F\U000104B0-\U000104D3\U000104D8-\U000104FB\U00010C80-\U00010CB2"
    r"\U00010CC0-\U00010CF2\U000118A0-\U000118DF\U0001E900-\U0001E943"
)
_SOUTH_EAST_ASIAN = (
    r"[\u4E00-\u9FFF\u3400-\u4DBF\u8C48-\uFAFF\u3040-\u309F\u30A0-\u30FF\uFF65-\uFF9F\u2F00-\u2FDF\u0E40-\u0E7F"
    r"\u0E80-\u0EFF\u1780-\u17FF\u1000-\u109F\uAA60-\uAA7F\uA9E0-\uA9FF\uAC00-\uD7AF\u1100-\u11FF]+"
)
_HANGUL_OR_PUNCTUATION = (
    r"[\uAC00-\uD7A3\u3131-\u318E]+|[\uFF01\u2026\u201C\u201D\u2018\u2019\u2014\uFF1A\uFF1B\uFF0C\u3001-\u303F"
    r"\uFE30-\uFE4F]+|[\u3105-\u312F]+|" + _HAN_KANA
)
_NOT_PUNCTUATION = r" ?[^(\s|.,!?\u2026\u3002\uFF0C\u3001\u0964\u06D4\u060C)]+"


def _cased(tail: str, suffix: str = "", upper: str = _UPPER, lower: str = _LOWER) -> str:
    """Words that change from capitals to small letters at most once, then `tail`."""
    start = r"[^\r\n\p{L}\p{N}]?"
    return f"{start}{upper}*{lower}+{suffix}|{start}{upper}+{lower}*{suffix}|{tail}"


_IF_CONTRACTION = _CONTRACTION + "?"
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_LLAMA3 = rf"{_CONTRACTION}|{_WORD}|\p{{N}}{{1,3}}|{_SYMBOLS}"
_QWEN2 = rf"{_CONTRACTION}|{_WORD}|\p{{N}}|{_SYMBOLS}"
_QWEN35 = (
    rf"{_CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{_LINES}"
)
_EXAONE_MOE = (
    rf"{_CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?(?:\p{{L}}\p{{M}}*(?: \p{{L}}\p{{M}}*)*)+|\p{{N}}"
    rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]?|\s*[\r\n]|{_SPACES}"
)
_DEEPSEEK_V3 = (
    r"\p{N}{1,3}",
    _HAN_KANA,
    rf"{_ASCII_SYMBOL_WORD}|{_MARKED_WORD}| ?[\p{{P}}\p{{S}}]+[\r\n]*|{_LINES}",
)
_JAIS_SPACES = "".join(rf"\s{{{count}}}(?!\S)|" for count in ("512", "256", "128", "64", "32", "16", "8", "4", "1,2"))

_LISTS: dict[str, tuple[str, ...]] = {
    "default": (r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"),
    "llama3": (_LLAMA3,),
    "qwen2": (_QWEN2,),
    "qwen35": (_QWEN35,),
    "gpt2": (_GPT2,),
    "digits+gpt2": (r"\p{N}", _GPT2),
    "falcon": (r"[\p{P}\$\+<=>\^~\|`]+", _GPT2, r"[0-9][0-9][0-9]"),
    "deepseek-llm": (
        r"[\r\n]",
        rf"\s?[{_LATIN_GREEK_CYRILLIC}]+",
        r"\s?[!-/:-~\uFF01-\uFF0F\uFF1A-\uFF5E\u2018-\u201F\u3001-\u3002]+",
        r"\s+\z",
        _HAN_HANGUL,
        r"\p{N}+",
    ),
    "deepseek-coder": (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _HAN_HANGUL, r"\p{N}"),
    "deepseek-v3": _DEEPSEEK_V3,
    "gpt-4o": (_cased(rf"\p{{N}}{{1,3}}|{_SYMBOLS_AND_SLASH}", _IF_CONTRACTION),),
    "tekken": (_cased(rf"\p{{N}}|{_SYMBOLS_AND_SLASH}"),),
    "bloom": (_NOT_PUNCTUATION,),
    "viking": (_NOT_PUNCTUATION, r"\p{N}"),
    "jais2": (rf"{_CONTRACTION}|{_WORD}|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|{_JAIS_SPACES}\s",),
    "seed-coder": (rf"{_CONTRACTION}|{_WORD}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|{_LINES}",),
    "bailing": (rf"{_CONTRACTION}|{_WORD}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]|{_SPACES}",),
    "minicpm5": (r"\p{N}{1,3}", rf"{_CONTRACTION}|{_WORD}|\p{{N}}+|{_SYMBOLS}"),
    "exaone-moe": (_EXAONE_MOE,),
    "ufakzeka": (rf"{_WORD}|\p{{N}}|{_SYMBOLS}",),
    "laguna": (r"[^\n]+|[\n]+", _QWEN2),
    "spark25": (
        *_DEEPSEEK_V3[:2],
        rf"{_ASCII_SYMBOL_WORD}|{_MARKED_WORD}| ?[\p{{P}}\p{{S}}]+|[\r\n]|{_SPACES}",
        r"\p{N}",
    ),
    "afmoe": (_SOUTH_EAST_ASIAN, _DEEPSEEK_V3[2]),
    "tiny-aya": (_cased(rf"\p{{N}}{{1,3}}|{_SYMBOLS_AND_SLASH}", _IF_CONTRACTION),),
    "youtu": (_HANGUL_OR_PUNCTUATION, _cased(rf"\p{{N}}|{_SYMBOLS_AND_SLASH}", _IF_CONTRACTION)),
    "granite-emb": (_cased(rf"\p{{N}}{{1,3}}|{_SYMBOLS_AND_SLASH}", _IF_CONTRACTION),),
    "superbpe": (r"\p{N}+",),
    "chameleon": (
        r"<sentinel:[0-9]+>",
        r"(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
        r"([\t\n]|    |  )",
        r"\p{N}",
        r"[\p{P}!-/:-@\[-`{-~]",
        _GPT2,
    ),
    "kimi-k2": (
        rf"\p{{Han}}+|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}&&[^\p{{Han}}]]+{_IF_CONTRACTION}|\p{{N}}{{1,3}}|{_SYMBOLS}",
    ),
    "lines": (r"[^\n]+|[\n]+",),
}

# What llama.cpp makes of those it cannot express: small letters are "not A to Z", subcategories are just letters.
_LETTER, _NOT_SMALL, _NOT_CAPITAL = r"[\p{L}\p{M}]", r"(?:(?=\p{L})[^a-z])", r"(?:(?=\p{L})[^A-Z])"
_MARK_OR_NOT_SMALL, _MARK_OR_NOT_CAPITAL = r"(?:(?=[\p{L}\p{M}])[^a-z])", r"(?:(?=[\p{L}\p{M}])[^A-Z])"
_LLAMA_CPP_LISTS: dict[str, tuple[str, ...]] = {
    "gpt-4o": (_cased(rf"\p{{N}}{{1,3}}|{_SYMBOLS_AND_SLASH}", _IF_CONTRACTION, _NOT_SMALL, _NOT_CAPITAL),),
    "tekken": (_cased(rf"\p{{N}}|{_SYMBOLS_AND_SLASH}", "", _NOT_SMALL, _NOT_CAPITAL),),
    "granite-emb": (
        _cased(rf"\p{{N}}{{1,3}}|{_SYMBOLS_AND_SLASH}", _IF_CONTRACTION, _MARK_OR_NOT_SMALL, _MARK_OR_NOT_CAPITAL),
    ),
    "tiny-aya": (_cased(rf"\p{{N}}{{1,3}}|{_SYMBOLS_AND_SLASH}", _IF_CONTRACTION, _LETTER, _LETTER),),
    "youtu": (_HANGUL_OR_PUNCTUATION, _cased(rf"\p{{N}}|{_SYMBOLS_AND_SLASH}", _IF_CONTRACTION, _LETTER, _LETTER)),
}


@dataclass(frozen=True, slots=True)
class PreTokenizer:
    """How a BPE vocabulary wants its text cut, and the defaults that come with the name.

    `digit_groups`: runs of "numbers" or of "ascii" digits are first cut into threes from the right.  `byte_level`:
    bytes are written as printable characters; otherwise spaces become U+2581 and the text stays itself.
    """

    patterns: tuple[str, ...]
    ignore_merges: bool = False
    add_bos: bool = False
    clean_spaces: bool = True
    byte_level: bool = True
    digit_groups: Literal["", "numbers", "ascii"] = ""


# (patterns, flags) → names.  m: ignore merges, b: add bos, n: no clean-up of spaces, r: raw characters,
# d: groups of three of any digits, a: of ASCII digits
_NAMES: dict[tuple[str, str], str] = {
    ("llama3", "mb"): "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
    ("llama3", ""): "dbrx smaug-bpe chatglm-bpe",
    ("llama3", "m"): "glm4 glm5",
    ("qwen2", "n"): "qwen2 deepseek-r1-qwen kormo f2llmv2 hunyuan solar-open grok-2",
    ("qwen2", ""): "stablelm2 megrez",
    ("qwen35", "n"): "qwen35",
    ("gpt2", ""): (
        "gpt-2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert exaone4 mpt olmo jais "
        "jina-v1-en jina-v2-code roberta-bpe"
    ),
    ("gpt2", "n"): "trillion granite-docling",
    ("digits+gpt2", "n"): "smollm command-r",
    ("digits+gpt2", ""): "starcoder refact codeshell exaone minerva-7b mellum2",
    ("falcon", ""): "falcon",
    ("deepseek-llm", "n"): "deepseek-llm",
    ("deepseek-coder", "n"): "deepseek-coder",
    ("deepseek-v3", "n"): "deepseek-v3 hunyuan-dense joyai-llm hy_v4",
    ("tekken", "mbn"): "tekken",
    ("gpt-4o", "n"): "gpt-4o llama4 kanana2 talkie minimax-m2",
    ("granite-emb", "mn"): "granite-embed-multi-97m",
    ("lines", "br"): "gemma4 granite-embed-multi-311m",
    ("lines", "nr"): "sarvam-moe",
    ("bloom", "n"): "poro-chat bloom",
    ("bloom", ""): "gpt3-finnish",
    ("viking", "n"): "viking",
    ("jais2", ""): "jais-2",
    ("chameleon", "bn"): "chameleon",
    ("superbpe", "na"): "superbpe",
    ("bailing", "n"): "bailingmoe bailingmoe2 llada-moe",
    ("seed-coder", "n"): "seed-coder",
    ("afmoe", "nd"): "afmoe",
    ("laguna", "n"): "laguna",
    ("ufakzeka", "n"): "ufakzeka",
    ("spark25", "n"): "spark2_5",
    ("tiny-aya", "nd"): "tiny_aya cohere2moe",
    ("youtu", "mn"): "youtu",
    ("minicpm5", "m"): "minicpm5",
    ("exaone-moe", ""): "exaone-moe",
    ("kimi-k2", "n"): "kimi-k2",
    ("default", ""): "default",
}
_RULES: dict[str, tuple[str, str]] = {name: rule for rule, names in _NAMES.items() for name in names.split()}
_ESCAPE = re.compile(r"\\u([0-9A-F]{4})|\\U([0-9A-F]{8})")


def pre_tokenizer(name: str, *, llama_cpp_patterns: bool = False) -> PreTokenizer:
    """The pre-tokenizer of that name; no name is "default".  Raises Unsupported for an unknown one."""
    rule = _RULES.get(name or "default")
    if rule is None:
        raise Unsupported(f"unknown pre-tokenizer {name!r}: the vocabulary would be split wrongly")
    patterns, flags = rule
    found = _LISTS[patterns]
    if llama_cpp_patterns:
        found = _LLAMA_CPP_LISTS.get(patterns, found)
    return PreTokenizer(
        patterns=tuple(_ESCAPE.sub(lambda match: chr(int(match[1] or match[2], 16)), pattern) for pattern in found),
        ignore_merges="m" in flags,
        add_bos="b" in flags,
        clean_spaces="n" not in flags,
        byte_level="r" not in flags,
        digit_groups="numbers" if "d" in flags else "ascii" if "a" in flags else "",
    )


def raw_lines() -> PreTokenizer:
    """The pre-tokenizer every vocabulary of the algorithm "gemma4" has."""
    return replace(pre_tokenizer("gemma4"), add_bos=True)


def names() -> frozenset[str]:
    """All known pre-tokenizer names."""
    return frozenset(_RULES)
