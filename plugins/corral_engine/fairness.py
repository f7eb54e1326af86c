"""Who is served next when requests must wait: the client that was given the fewest tokens.

A client that comes (back) starts level with the least served of those present, so that nobody saves up a claim by
staying away and nobody pays for what was served while no one else wanted it.  Source: Sheng et al. 2024.
"""

from collections.abc import Iterable


class Ledger:
    """Tokens evaluated for each client that has requests here.  A client is a `Job.client`."""

    def __init__(self) -> None:
        self._served: dict[str, int] = {}

    def arrive(self, client: str) -> None:
        """A client has a request; nothing happens when it has others already."""
        if client not in self._served:
            self._served[client] = min(self._served.values(), default=0)

    def charge(self, client: str, n_tokens: int) -> None:
        """So many tokens were evaluated for a client that is present."""
        self._served[client] += n_tokens

    def served(self, client: str) -> int:
        """What is held against a client that is present."""
        return self._served[client]

    def keep(self, clients: Iterable[str]) -> None:
        """Forget all but these."""
        present = set(clients)
        self._served = {client: served for client, served in self._served.items() if client in present}
