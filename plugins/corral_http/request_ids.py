"""The id of the request being handled, as hosted services write theirs; answers carry it in a header."""

import secrets

import structlog

_PREFIX = "req_"


def begin_request() -> str:
    """A new id for the request being handled; its log lines carry it from here on."""
    request_id = f"{_PREFIX}{secrets.token_hex(12)}"
    structlog.contextvars.bind_contextvars(request_id=request_id)
    return request_id


def current_request_id() -> str:
    """The id of the request being handled."""
    bound = str(structlog.contextvars.get_contextvars().get("request_id", ""))
    return bound if bound.startswith(_PREFIX) else begin_request()
