"""Errors in OpenAI's shape, which other dialects below /v1 speak too.

Source: https://platform.openai.com/docs/guides/error-codes.
"""

import msgspec

_TYPES = {400: "invalid_request_error", 404: "not_found_error"}


class ErrorObject(msgspec.Struct, frozen=True, kw_only=True):
    """What was wrong, with the field and a word for programs where there are any; all four keys are always sent."""

    message: str
    type: str
    param: str | None
    code: str | None


def error_object(message: str, status: int, param: str | None = None, code: str | None = None) -> ErrorObject:
    """The value of `error` in a body."""
    return ErrorObject(message=message, type=_TYPES.get(status, "api_error"), param=param, code=code)
