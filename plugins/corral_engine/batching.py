"""Put the rows of several sequences into one `Batch`, and share out a step's rows fairly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from corral_engine.program import AdapterSet, Batch


@dataclass(frozen=True, slots=True)
class Feed:
    """What one sequence brings into a step: tokens at positions from `start`, logits wanted of its last `n_outputs`."""

    tokens: Sequence[int]
    start: int
    pages: Sequence[int]
    n_outputs: int
    adapters: AdapterSet


NO_ADAPTERS = AdapterSet(pairs={})


def make_batch(feeds: Sequence[Feed]) -> Batch:
    """One batch of all feeds, in their order."""
    token_ids: list[int] = []
    positions: list[int] = []
    seq_of: list[int] = []
    output_rows: list[int] = []
    page_table = np.full((len(feeds), max(len(feed.pages) for feed in feeds)), -1, np.int32)
    for index, feed in enumerate(feeds):
        size = len(feed.tokens)
        token_ids.extend(feed.tokens)
        positions.extend(range(feed.start, feed.start + size))
        seq_of.extend([index] * size)
        output_rows.extend(range(len(token_ids) - feed.n_outputs, len(token_ids)))
        page_table[index, : len(feed.pages)] = feed.pages
    any_adapters = any(feed.adapters.pairs for feed in feeds)
    return Batch(
        token_ids=np.array(token_ids, np.int32),
        positions=np.array(positions, np.int32),
        seq_of=np.array(seq_of, np.int32),
        page_table=page_table,
        output_rows=np.array(output_rows, np.int32),
        adapters=tuple(feed.adapters for feed in feeds) if any_adapters else (),
    )


def share_out(demands: Sequence[int], budget: int) -> list[int]:
    """Split `budget` evenly; what a small demand leaves over goes to the others."""
    shares = [0] * len(demands)
    order = sorted(range(len(demands)), key=demands.__getitem__)
    for done, index in enumerate(order):
        shares[index] = min(demands[index], budget // (len(demands) - done))
        budget -= shares[index]
    return shares


def share_between(demands: Sequence[tuple[str, int]], budget: int) -> list[int]:
    """Split `budget` evenly between clients (the first of each pair), then between the requests of each."""
    clients: dict[str, list[int]] = {}
    for index, (client, _) in enumerate(demands):
        clients.setdefault(client, []).append(index)
    totals: Mapping[str, int] = {name: sum(demands[i][1] for i in indexes) for name, indexes in clients.items()}
    shares = [0] * len(demands)
    for indexes, part in zip(clients.values(), share_out(list(totals.values()), budget), strict=True):
        for index, share in zip(indexes, share_out([demands[i][1] for i in indexes], part), strict=True):
            shares[index] = share
    return shares
