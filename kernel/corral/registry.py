"""Providers by kind and name: collected once at boot, then frozen."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, Protocol, TypeVar

from corral.errors import Unsupported


class Named(Protocol):
    """All that the registry asks of a provider."""

    @property
    def name(self) -> str: ...


P = TypeVar("P", bound=Named)


class Kind(Generic[P], Mapping[str, P]):
    """The providers of one kind, in order of boot.  `kind` is the field's word for it ("loader", "engine")."""

    def __init__(self, kind: str, offers: Iterable[tuple[str, P]] = ()) -> None:
        """`offers` are (plugin name, provider).  Raises ValueError naming both plugins when a name comes twice."""
        self.kind = kind
        self._providers: dict[str, P] = {}
        self.owners: dict[str, str] = {}
        for plugin, provider in offers:
            if provider.name in self._providers:
                raise ValueError(
                    f"{kind} {provider.name!r} is offered by both {self.owners[provider.name]!r} and {plugin!r}: "
                    "disable one of them"
                )
            self._providers[provider.name] = provider
            self.owners[provider.name] = plugin

    def __getitem__(self, name: str) -> P:
        """Raises Unsupported, naming what there is, when nothing offers `name`."""
        try:
            return self._providers[name]
        except KeyError:
            there_is = ", ".join(self._providers) or "none: is the plugin disabled?"
            raise Unsupported(f"no {self.kind} {name!r} here (there is {there_is})") from None

    def __contains__(self, name: object) -> bool:
        return name in self._providers

    def __iter__(self) -> Iterator[str]:
        return iter(self._providers)

    def __len__(self) -> int:
        return len(self._providers)
