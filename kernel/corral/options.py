"""Merging options by name: built-in defaults, then the model's parameters, then the request's."""

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from corral.errors import BadRequest
from corral.types import Options


def resolve_options(parameters: Mapping[str, Any], overrides: Mapping[str, Any]) -> Options:
    """The options in force.  Later wins; null means absent; names Corral does not know are ignored.

    Raises BadRequest(`option "temperature" must be of type float32`) and for values outside their range.
    """
    merged: dict[str, Any] = {}
    for source in (parameters, overrides):
        for name, value in source.items():
            if value is not None and name in _FIELDS:
                merged[name] = _read(name, value)
    options = Options(**merged)
    if options.repeat_penalty <= 0:
        raise BadRequest('option "repeat_penalty" must be greater than 0')
    if options.num_ctx < 0 or options.dry_allowed_length < 0:
        raise BadRequest("num_ctx and dry_allowed_length must not be negative")
    return options


_FIELDS = {field.name: field.type for field in msgspec.structs.fields(Options)}


def _read(name: str, value: Any) -> Any:
    """`value` as the type of the option `name`; integers accept JSON floats and drop the fraction."""
    kind = _FIELDS[name]
    if kind is int or kind is float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _wrong(name, "integer" if kind is int else "float32")
        if not math.isfinite(value) or abs(value) >= 2**63:
            raise BadRequest(f'option "{name}" is out of range')
        return int(value) if kind is int else float(value)
    if kind is bool:
        if not isinstance(value, bool):
            raise _wrong(name, "boolean")
        return value
    if name == "logit_bias":
        return _logit_bias(value)
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list | tuple):
        raise _wrong(name, "array")
    if not all(isinstance(item, str) for item in value):
        raise BadRequest(f'option "{name}" must be of an array of strings')
    if len(value) > 1024:
        raise BadRequest(f'option "{name}" has {len(value)} entries; at most 1024 are served')
    return tuple(value)


def _logit_bias(value: Any) -> dict[int, float]:
    """{token id: bias}; `false` bans a token.  Raises BadRequest."""
    if not isinstance(value, Mapping) or len(value) > 1024:
        raise BadRequest('option "logit_bias" must be an object of at most 1024 token ids')
    try:
        return {int(key): -math.inf if bias is False else float(bias) for key, bias in value.items()}
    except (TypeError, ValueError) as err:
        raise BadRequest('option "logit_bias" must map token ids to numbers') from err


def _wrong(name: str, kind: str) -> BadRequest:
    return BadRequest(f'option "{name}" must be of type {kind}')
