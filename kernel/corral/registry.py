"""Providers by kind and name: collected once at boot, then left alone."""

from collections.abc import Iterable
from typing import Any, TypeVar

from corral.errors import Unsupported

P = TypeVar("P")


class Kind(dict[str, P]):
    """The providers of one kind, in order of boot.  `kind` is the field's word for it ("loader", "engine")."""

    def __init__(self, kind: str, offers: Iterable[tuple[str, Any]] = (), hint: str = "") -> None:
        """`offers` are (plugin name, provider); `hint` ends a complaint.  Raises ValueError when a name comes twice."""
        super().__init__()
        self.kind, self.hint = kind, hint
        self.owners: dict[str, str] = {}
        for plugin, provider in offers:
            if (name := provider.name) in self:
                theirs = self.owners[name]
                raise ValueError(f"{kind} {name!r} is offered by both {theirs!r} and {plugin!r}: disable one")
            self[name] = provider
            self.owners[name] = plugin

    @property
    def there_is(self) -> str:
        """What a complaint says of the kind: its names, and which plugins are off."""
        return (", ".join(self) or "none") + self.hint

    def __missing__(self, name: str) -> P:
        raise Unsupported(f"no {self.kind} {name!r} here (there is {self.there_is})")
