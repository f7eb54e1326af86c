"""Merging options by name: built-in defaults, then the model's parameters, then the request's."""

import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from corral import BadRequest, Description, Options
from corral.kernel import Kernel

DEFAULT_CONTEXT = 4096

_TYPES = {field.name: field.type for field in msgspec.structs.fields(Options)}
_WORDS = {"int": "integer", "float": "float32", "bool": "boolean", "array": "array", "object": "object"}


def options_in_force(kernel: Kernel, what: Description, overrides: Mapping[str, Any]) -> Options:
    """The options of one request: `overrides` over the model's parameters, and the context it may use.

    num_ctx is the request's or the model's, else the server's setting, else 4096; never past the trained context.
    """
    options = resolve_options(what.model.parameters, overrides)
    asked = options.num_ctx or kernel.config.kernel.context_length or DEFAULT_CONTEXT
    return replace(options, num_ctx=max(4, min(asked, what.info.context_length or asked)))


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
        options = msgspec.convert(merged, Options)
    except msgspec.ValidationError as err:
        raise BadRequest(_explain(str(err))) from err
    if options.repeat_penalty <= 0 or options.num_ctx < 0 or options.dry_allowed_length < 0:
        raise BadRequest("repeat_penalty must be above 0, num_ctx and dry_allowed_length must not be negative")
    if max(map(len, (options.stop, options.logit_bias, options.samplers))) > 1024:
        raise BadRequest("stop, logit_bias and samplers take at most 1024 entries")
    return options


def _plain(name: str, value: Any) -> Any:
    """What the type of the option accepts in place of `value`."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not abs(value) < 2**63:  # also true of NaN
            raise BadRequest(f'option "{name}" is out of range')
        return int(value) if _TYPES[name] is int else value
    if isinstance(value, str) and name in ("stop", "samplers"):
        return [value]
    if isinstance(value, Mapping):  # logit_bias: token ids are JSON keys, and false bans a token
        pairs = ((int(key) if str(key).isdecimal() else key, bias) for key, bias in value.items())
        return {key: -math.inf if bias is False else bias for key, bias in pairs}
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
