"""Merging options by name: built-in defaults, then the model's parameters, then the request's."""

import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from corral import BadRequest, Description, Options, Runner
from corral.kernel import Kernel
from corral_generation.bias import id_or_text

DEFAULT_CONTEXT = 4096
MAX_DECAY = 0.99  # of adaptive-p's memory, as in llama.cpp
MAX_ENTRIES = 1024  # of stop, logit_bias, samplers and dry_sequence_breakers

SAMPLERS = {  # by the letters that llama.cpp has for them
    "e": "penalties",
    "d": "dry",
    "s": "top_n_sigma",
    "k": "top_k",
    "y": "typ_p",
    "p": "top_p",
    "m": "min_p",
    "x": "xtc",
    "t": "temperature",
    "a": "adaptive_p",
}
_SPELLINGS = {"typical_p": "typ_p", "typical": "typ_p"} | {
    name.replace("_", "-"): name for name in ("top_k", "top_p", "min_p", "adaptive_p")
}


class _Unused(msgspec.Struct):
    """Options of the reference that change nothing here; a wrong type is a mistake all the same."""

    num_gpu: int = 0
    main_gpu: int = 0
    use_mmap: bool = False


_TYPES = {field.name: field.type for kind in (Options, _Unused) for field in msgspec.structs.fields(kind)}
_WORDS = {"int": "integer", "float": "float32", "bool": "boolean", "array": "array", "object": "object"}


def options_in_force(kernel: Kernel, what: Description, overrides: Mapping[str, Any]) -> Options:
    """The options of one request: `overrides` over the model's parameters, and the context it may use.

    num_ctx is the request's or the model's, else the server's setting, else 4096; never past the trained context.
    """
    options = resolve_options(what.model.parameters, overrides)
    asked = options.num_ctx or kernel.config.kernel.context_length or DEFAULT_CONTEXT
    return replace(options, num_ctx=max(4, min(asked, what.info.context_length or asked)))


def within_room(num_ctx: int, runner: Runner) -> int:
    """`num_ctx`, or as much of it as the runner's whole KV budget holds (where it has one)."""
    return min(num_ctx, runner.stats().kv_tokens or num_ctx)


def resolve_options(parameters: Mapping[str, Any], overrides: Mapping[str, Any]) -> Options:
    """The options in force.  Later wins; null means absent; names Corral does not know are ignored.

    Integers accept JSON floats and drop the fraction; one stop string may stand for a list of one.
    Raises BadRequest(`option "temperature" must be of type float32`), also for values outside their range.
    """
    merged: dict[str, Any] = {}
    for name, value in [*parameters.items(), *overrides.items()]:
        if name in _TYPES and value is not None:
            merged[name] = _plain(name, value)
    try:
        msgspec.convert(merged, _Unused)
        options = msgspec.convert(merged, Options)
    except msgspec.ValidationError as err:
        raise BadRequest(_explain(str(err))) from err
    _check_ranges(options)
    return options


def _check_ranges(options: Options) -> None:
    """Raises BadRequest for a number that has no meaning.  What the reference takes for "off" stays allowed."""
    if options.repeat_penalty <= 0:
        raise BadRequest('option "repeat_penalty" must be above 0')
    for name in ("num_ctx", "dry_allowed_length", "typical_p", "dynatemp_range", "dynatemp_exponent"):
        if getattr(options, name) < 0:
            raise BadRequest(f'option "{name}" must not be negative')
    for name in ("xtc_probability", "xtc_threshold"):
        if not 0 <= getattr(options, name) <= 1:
            raise BadRequest(f'option "{name}" must be between 0 and 1')
    if not 0 <= options.adaptive_decay <= MAX_DECAY:
        raise BadRequest(f'option "adaptive_decay" must be between 0 and {MAX_DECAY}')
    if options.adaptive_target > 1:
        raise BadRequest('option "adaptive_target" must be at most 1; a negative one is off')
    if options.mirostat not in (0, 1, 2):
        raise BadRequest('option "mirostat" must be 0, 1 or 2')


def _samplers(value: str | list[Any]) -> list[Any]:
    """The order of the chain by name: a list of names, or the letters of SAMPLERS in a row.  Raises BadRequest."""
    if isinstance(value, str):
        value = [value] if value in (*SAMPLERS.values(), *_SPELLINGS) else list(value)
    names = [SAMPLERS.get(name, _SPELLINGS.get(name, name)) if isinstance(name, str) else name for name in value]
    for name in names:
        if isinstance(name, str) and name not in SAMPLERS.values():
            known = ", ".join(SAMPLERS.values())
            raise BadRequest(f'option "samplers": "{name[:40]}" is no sampler; there are {known}')
    return names


def _plain(name: str, value: Any) -> Any:
    """What the type of the option accepts in place of `value`.  Raises BadRequest for too much of it."""
    if isinstance(value, list | tuple | Mapping) and len(value) > MAX_ENTRIES:
        raise BadRequest(f'option "{name}" has {len(value)} entries; it takes at most {MAX_ENTRIES}')
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not abs(value) < 2**63:  # also true of NaN
            raise BadRequest(f'option "{name}" is out of range')
        return int(value) if _TYPES[name] is int else value
    if name == "samplers" and isinstance(value, str | list):
        return _samplers(value)
    if name == "stop" and isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):  # logit_bias, where false bans a token
        return {id_or_text(key): -math.inf if bias is False else bias for key, bias in value.items()}
    return value


def _explain(message: str) -> str:
    """msgspec's message in the reference's words."""
    found = re.search(r"Expected `(\w+)`, got .* - at `\$\.(\w+)(.*)`", message)
    if found is None:
        return f"invalid option: {message}"
    expected, name, inside = found.groups()
    if inside and expected == "str":
        return f'option "{name}" must be of an array of strings'
    return f'option "{name}" must be of type {_WORDS.get(expected, expected)}'
