"""Fields that clients may send and nothing here can do: each is refused by its name, unless it asks for nothing."""

from collections.abc import Iterable

import msgspec

from corral import JSON, Value


class Unserved(Value, frozen=True):
    """A field by its path in the body, why it is not served, and the values beside null that ask for nothing."""

    path: str
    why: str
    harmless: tuple[JSON, ...] = ()


def first_asked(body: msgspec.Struct, fields: Iterable[Unserved]) -> Unserved | None:
    """The first of these fields that asks for something."""
    for field in fields:
        value = _at(body, field.path)
        if value is not None and value not in field.harmless:
            return field
    return None


def _at(body: msgspec.Struct, path: str) -> JSON:
    """What stands at a path like `text.verbosity`, whose head is an object or null; None for nothing."""
    name, _, inside = path.partition(".")
    value = getattr(body, name)
    return value.get(inside) if inside and value is not None else value
