"""Ids as the API writes them: of requests, messages and tool calls."""

import secrets
import string

import structlog

_LETTERS = string.ascii_lowercase + string.digits


def begin_request() -> str:
    """A new id for the request being handled; its log lines carry it from here on."""
    request_id = f"req_{secrets.token_hex(12)}"
    structlog.contextvars.bind_contextvars(request_id=request_id)
    return request_id


def current_request_id() -> str:
    """The id of the request being handled."""
    bound = structlog.contextvars.get_contextvars().get("request_id", "")
    return bound if bound.startswith("req_") else begin_request()


def message_id() -> str:
    return f"msg_{secrets.token_hex(12)}"


def call_id() -> str:
    """For a call of a model whose format has no ids."""
    return "call_" + "".join(secrets.choice(_LETTERS) for _ in range(8))
