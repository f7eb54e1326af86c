"""Adapters beside an executor that knows none: sequences that have some run in numpy, all others as ever.

Both executors work on the same KV pages.  A sequence never changes sides, so nobody's text
depends on another's adapters.
"""

from dataclasses import replace

import numpy as np

from corral_engine.program import AdapterSet, Batch, Executor, Float32


class AdaptedExecutor:
    """`program.Executor`: `plain` for sequences without adapters, `adapting` for those that have some."""

    def __init__(self, plain: Executor, adapting: Executor) -> None:
        self.plain, self.adapting = plain, adapting

    def run(self, batch: Batch, *, hidden: bool = False) -> Float32:
        """See `program.Executor.run`."""
        adapted = np.array([bool(adapters.pairs) for adapters in batch.adapters], bool)
        if not adapted.any():
            return self.plain.run(batch, hidden=hidden)
        if adapted.all():
            return self.adapting.run(batch, hidden=hidden)
        parts = [(self.plain, ~adapted), (self.adapting, adapted)]
        result: Float32 | None = None
        for executor, which in parts:
            part, outputs = _select(batch, which)
            rows = executor.run(part, hidden=hidden)
            if result is None:
                result = np.empty((len(batch.output_rows), rows.shape[1]), np.float32)
            result[outputs] = rows
        assert result is not None
        return result

    def close(self) -> None:
        """See `program.Executor.close`."""
        self.plain.close()
        self.adapting.close()


def _select(batch: Batch, sequences: "np.typing.NDArray[np.bool_]") -> "tuple[Batch, np.typing.NDArray[np.bool_]]":
    """The part of a batch that belongs to some sequences, and which of the output rows are theirs."""
    tokens = sequences[batch.seq_of]
    outputs = tokens[batch.output_rows]
    place = np.cumsum(tokens, dtype=np.int32) - np.int32(1)
    number = np.cumsum(sequences, dtype=np.int32) - np.int32(1)
    adapters: list[AdapterSet] = [a for a, chosen in zip(batch.adapters, sequences, strict=True) if chosen]
    part = replace(
        batch,
        token_ids=batch.token_ids[tokens],
        positions=batch.positions[tokens],
        seq_of=number[batch.seq_of[tokens]],
        page_table=batch.page_table[sequences],
        output_rows=place[batch.output_rows[outputs]],
        adapters=tuple(adapters) if any(a.pairs for a in adapters) else (),
    )
    return part, outputs
