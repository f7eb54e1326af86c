"""From the bytes of a request to one typed body, for every dialect, as leniently as clients of the reference expect.

Keys match in any case, null counts as absent, unknown keys are ignored, and only the first JSON value is read.
"""

import json
import math
from collections.abc import AsyncIterator
from typing import Any, Generic, NoReturn, TypeVar, get_args

import msgspec
from aiohttp import web

from corral.errors import BadRequest
from corral.types import JSON
from corral_http.unpacking import coding_of, unpacked

T = TypeVar("T", bound=msgspec.Struct)
_MISSING = "missing request body"
MAX_DEPTH = 200
_TOO_DEEP = f"exceeded max depth: the JSON is nested more than {MAX_DEPTH} deep"


async def chunks(request: web.Request, limit_bytes: int | None = None) -> AsyncIterator[bytes]:
    """The body as it comes, unpacked.  Raises BadRequest when it is not what its headers say (bad gzip, a cut chunk),
    and as soon as it, or what it unpacks to, is longer than `limit_bytes`.

    The server leaves unpacking to this: what it cannot unpack itself it would refuse before there is a dialect.
    """
    coding = coding_of(request.headers.get("Content-Encoding", ""))
    sent = _bounded(request.content.iter_any(), limit_bytes)
    try:
        async for chunk in _bounded(unpacked(sent, coding), limit_bytes) if coding else sent:
            yield chunk
    except web.RequestPayloadError as err:
        raise BadRequest(f"the request body cannot be read: {err}") from err


async def _bounded(parts: AsyncIterator[bytes], limit_bytes: int | None) -> AsyncIterator[bytes]:
    size = 0
    async for part in parts:
        size += len(part)
        if limit_bytes is not None and size > limit_bytes:
            raise BadRequest(f"the request body is larger than {limit_bytes} bytes (max_body_bytes of the dialect)")
        yield part


async def read_body(request: web.Request, limit_bytes: int) -> bytes:
    """The body, refused as soon as it (packed or not) is longer than `limit_bytes`."""
    return b"".join([chunk async for chunk in chunks(request, limit_bytes)])


class Decoder(Generic[T]):
    """Decodes bodies of one kind.  Built once, at import."""

    def __init__(self, kind: type[T]) -> None:
        self.kind = kind
        self._fields = _Fields(kind)

    def decode(self, data: bytes) -> T:
        """Raises BadRequest: no body, no JSON, or a value of the wrong type (with its path)."""
        if not data or data.isspace():
            raise BadRequest(_MISSING)
        value = first_value(data)
        return self.typed({} if value is None else value)

    def typed(self, value: JSON, where: str = "") -> T:
        """A decoded value as the body, or as what stands at `where` in it.  Raises BadRequest for the wrong type."""
        try:
            return msgspec.convert(self._fields.fold(value), self.kind)
        except msgspec.ValidationError as err:
            raise BadRequest(f"json: {_placed(str(err), where)}") from err


def _placed(message: str, where: str) -> str:
    """msgspec's message with the whole path of what has a wrong type; of a body as a whole it names none."""
    if not where:
        return message
    found, at, path = message.partition(" - at `$")
    return f"{found} - at `$.{where}{path}" if at else f"{message} - at `$.{where}`"


class _Fields:
    """The wire names of a Struct in lower case, with the Structs below it."""

    def __init__(self, kind: type[msgspec.Struct]) -> None:
        self._by_name: dict[str, tuple[str, _Fields | None]] = {}
        for field in msgspec.structs.fields(kind):
            below = [each for each in (field.type, *get_args(field.type)) if _is_struct(each)]
            self._by_name[field.encode_name.lower()] = (field.encode_name, _Fields(below[0]) if below else None)

    def fold(self, value: JSON) -> JSON:
        """`value` with the Struct's own spelling of its keys, without nulls and unknown keys."""
        if isinstance(value, list):
            return [self.fold(item) if isinstance(item, dict) else item for item in value]
        if not isinstance(value, dict):
            return value
        folded = {}
        for key, item in value.items():
            name, below = self._by_name.get(key.lower(), ("", None))
            if name and item is not None:
                folded[name] = below.fold(item) if below else item
        return folded


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def first_value(data: bytes) -> JSON:
    """The first JSON value in `data`.  Raises BadRequest."""
    try:
        value = msgspec.json.decode(data)
        is_unicode = True
    except RecursionError as err:
        raise BadRequest(_TOO_DEEP) from err
    except msgspec.ValidationError as err:
        raise BadRequest(f"json: {err}") from err
    except (msgspec.DecodeError, UnicodeDecodeError):
        value = _first_value_slowly(data)
        is_unicode = False
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        _check_depth(value)
    return value if is_unicode else _without_surrogates(value)


def _first_value_slowly(data: bytes) -> JSON:
    """For what the fast decoder refuses and the reference does not: trailing bytes, text that is not Unicode."""
    text = data.decode("utf-8", "replace").lstrip(" \t\r\n")
    try:
        return _LENIENT.raw_decode(text)[0]
    except json.JSONDecodeError as err:
        at_end = err.pos >= len(text.rstrip()) or err.msg.startswith("Unterminated")
        seen = "unexpected EOF" if at_end else f"invalid character {text[err.pos]!r} at character {err.pos}: {err.msg}"
        raise BadRequest(seen) from err
    except RecursionError as err:
        raise BadRequest(_TOO_DEEP) from err
    except ValueError as err:  # an integer of thousands of digits
        raise BadRequest(f"json: {err}") from err


def _check_depth(value: JSON) -> None:
    """Raises BadRequest for containers nested more than MAX_DEPTH deep: whoever walks them later may recurse."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        below: list[JSON] = []
        for item in level:
            if isinstance(item, list | dict):
                below += (each for each in (item.values() if isinstance(item, dict) else item) if each)
        level = [item for item in below if isinstance(item, list | dict)]
        if not level:
            return
    raise BadRequest(_TOO_DEEP)


def _no_constant(text: str) -> NoReturn:
    raise BadRequest(f"invalid character {text[0]!r} looking for beginning of value")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise BadRequest(f"json: the number {text[:20]} is out of range")
    return number


_LENIENT = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)


def _without_surrogates(value: JSON) -> JSON:
    """Half characters ("\\ud800") become U+FFFD, as in the reference."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    return value
