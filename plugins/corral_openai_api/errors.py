"""Errors in OpenAI's shape: message, type, param, code, all four always there."""

import re

import msgspec

from corral import BadRequest, CorralError
from corral.server import status_of
from corral_http.error_objects import ErrorObject, error_object
from corral_http.frames import sse
from corral_openai_api.wire import Wire

_AT = re.compile(r" - at `\$\.(.+?)`")  # where the decoder found a value of the wrong type
_OPTION = re.compile(r'^option "(\w+)"')
_WIRE_NAMES = {"num_predict": "max_tokens"}


class ErrorBody(Wire, frozen=True):
    """Every error."""

    error: ErrorObject


class FieldError(BadRequest):
    """A field of the request cannot be served as it is; `param` is its path on the wire."""

    def __init__(self, message: str, param: str, code: str = "invalid_value") -> None:
        super().__init__(message, code=code)
        self.param = param


def unsupported(param: str, why: str) -> FieldError:
    """A field, or a value of it, that Corral refuses by name."""
    return FieldError(f"{param} is not supported: {why}", param, "unsupported_parameter")


def error_body(error: CorralError, status: int) -> bytes:
    """The body of an error."""
    param, code = None, None
    if isinstance(error, FieldError):
        param, code = error.param, error.code
    elif found := _AT.search(error.message):
        param, code = found[1], "invalid_type"
    elif found := _OPTION.search(error.message):
        param, code = _WIRE_NAMES.get(found[1], found[1]), "invalid_value"
    return msgspec.json.encode(ErrorBody(error=error_object(error.message, status, param, code)))


def error_event(error: CorralError) -> bytes:
    """An error after the first event: clients raise on it, and no [DONE] follows."""
    return sse(error_body(error, status_of(error)))
