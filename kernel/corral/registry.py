"""Providers by kind and name: collected once at boot, then left alone."""

from collections.abc import Iterable
from typing import Any, TypeVar

from corral.errors import Unsupported

P = TypeVar("P")


class Kind(dict[str, P]):
    """The providers of one kind, in order of boot.  `kind` is the field's word for it ("loader", "engine")."""

    def __init__(self, kind: str, offers: Iterable[tuple[str, Any]] = ()) -> None:
        """`offers` are (plugin name, provider).  Raises ValueError naming both plugins when a name comes twice."""
        super().__init__()
        self.kind = kind
        self.owners: dict[str, str] = {}
        for plugin, provider in offers:
            name = provider.name
            if name in self:
                both = f"both {self.owners[name]!r} and {plugin!r}"
                raise ValueError(f"{kind} {name!r} is offered by {both}: disable one of them")
            self[name] = provider
            self.owners[name] = plugin

    def __missing__(self, name: str) -> P:
        there_is = ", ".join(self) or "none: is the plugin disabled?"
        raise Unsupported(f"no {self.kind} {name!r} here (there is {there_is})")
