"""PARAMETER: which names there are, and how their texts become values."""

import math
import re
from collections.abc import Iterable

from corral import JSON, BadRequest, JSONObject

_INTEGERS = frozenset(
    [
        *("num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "draft_num_predict", "num_keep", "seed"),
        *("num_predict", "top_k", "repeat_last_n"),
        *("min_keep", "dry_allowed_length", "dry_penalty_last_n"),  # Corral's own
    ]
)
_FLOATS = frozenset(
    [
        *("top_p", "min_p", "typical_p", "temperature", "repeat_penalty", "presence_penalty", "frequency_penalty"),
        *("top_n_sigma", "dynatemp_range", "dynatemp_exponent", "xtc_probability", "xtc_threshold"),  # Corral's own
        *("dry_multiplier", "dry_base", "adaptive_target", "adaptive_decay"),
    ]
)
_BOOLEANS = frozenset(("use_mmap", "ignore_eos"))
_LISTS = frozenset(("stop", "dry_sequence_breakers"))
_DEPRECATED = frozenset(
    [
        *("penalize_newline", "low_vram", "f16_kv", "logits_all", "vocab_only", "use_mlock"),
        *("mirostat", "mirostat_tau", "mirostat_eta"),
    ]
)
_TRUE, _FALSE = (
    frozenset(("1", "t", "T", "TRUE", "true", "True")),
    frozenset(("0", "f", "F", "FALSE", "false", "False")),
)
_INT64 = range(-(1 << 63), 1 << 63)
_LARGEST_FLOAT32 = 3.4028235677973366e38  # anything above rounds to infinity


def typed(pairs: Iterable[tuple[str, str]]) -> tuple[JSONObject, list[str]]:
    """(values by name, warnings) of parameters as written.  Raises BadRequest for an unknown name or a bad value."""
    values: JSONObject = {}
    warnings = []
    for name, text in pairs:
        if name in _DEPRECATED:
            warnings.append(f"warning: parameter {name} is deprecated")
        elif name in _LISTS:
            values.setdefault(name, []).append(text)
        else:
            values[name] = _value(name, text)
    return values, warnings


def _value(name: str, text: str) -> JSON:
    if name in _INTEGERS:
        return _integer(text)
    if name in _FLOATS:
        return _float(text)
    if name in _BOOLEANS:
        if text not in _TRUE | _FALSE:
            raise BadRequest(f"invalid bool value [{text}]")
        return text in _TRUE
    raise BadRequest(f"unknown parameter '{name}'")


def _integer(text: str) -> int:
    if re.fullmatch(r"[+-]?[0-9]{1,20}", text) and int(text) in _INT64:
        return int(text)
    raise BadRequest(f"invalid int value [{text}]")


def _float(text: str) -> float:
    if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
        number = float(text)
        if math.isfinite(number) and abs(number) < _LARGEST_FLOAT32:
            return number
    raise BadRequest(f"invalid float value [{text}]")
