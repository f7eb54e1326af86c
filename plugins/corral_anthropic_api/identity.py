"""Ids as the API writes them: of messages and tool calls."""

import secrets
import string

_LETTERS = string.ascii_lowercase + string.digits


def message_id() -> str:
    return f"msg_{secrets.token_hex(12)}"


def call_id() -> str:
    """For a call of a model whose format has no ids."""
    return "call_" + "".join(secrets.choice(_LETTERS) for _ in range(8))
