"""`context_management`: which thinking of earlier turns the model sees again."""

from collections.abc import Sequence

from corral import JSON, BadRequest, Unsupported
from corral_anthropic_api.conversation import Turn

_CLEAR_THINKING = "clear_thinking_20251015"
_FORM = 'must be {"edits": [{"type": …}, …]}'


def edited(turns: Sequence[Turn], management: JSON) -> list[Turn]:
    """The turns after all edits.  Raises BadRequest, and Unsupported for an edit that is not known here."""
    edits = (management.get("edits") or []) if isinstance(management, dict) else management
    if not isinstance(edits, list | None):
        raise BadRequest(f"context_management {_FORM}")
    left = list(turns)
    for index, edit in enumerate(edits or ()):
        where = f"context_management.edits[{index}]"
        if not isinstance(edit, dict):
            raise BadRequest(f"context_management {_FORM}; {where} is no object")
        if edit.get("type") != _CLEAR_THINKING:
            text = f"{str(edit.get('type'))[:40]!r} is not known here, only {_CLEAR_THINKING!r} is; shorten messages"
            raise Unsupported(f"{where}.type is not supported: {text}")
        kept = _turns_kept(edit.get("keep"), where)
        left = left if kept is None else _without_thinking(left, kept)
    return left


def _turns_kept(keep: JSON, where: str) -> int | None:
    """How many turns, counted from the end, keep their thinking; None for all, and one where nothing is said."""
    if keep is None:
        return 1
    if keep in ("all", {"type": "all"}):
        return None
    value = keep.get("value") if isinstance(keep, dict) and keep.get("type") == "thinking_turns" else None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise BadRequest(f'{where}.keep must be "all" or {{"type": "thinking_turns", "value": 1 or more}}')
    return value


def _without_thinking(turns: Sequence[Turn], kept: int) -> list[Turn]:
    """Between one thing the user says and the next lies one turn of the assistant, however many tools it called."""
    number, numbers = 0, []
    for role, content in turns:
        number += role.lower() == "user" and any(block.type != "tool_result" for block in content)
        numbers.append(number)
    thought = sorted(
        {
            n
            for n, (_, content) in zip(numbers, turns, strict=True)
            if any(block.type == "thinking" for block in content)
        }
    )
    keeping = set(thought[-kept:])
    return [
        (role, content if n in keeping else tuple(block for block in content if block.type != "thinking"))
        for n, (role, content) in zip(numbers, turns, strict=True)
    ]
