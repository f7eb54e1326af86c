"""Adapters on the SIMD kernels: the same step, with a low-rank update after each product.

The ops of an adapted step are lowered when the first such step comes, onto the buffers and weights that the plain steps
use.  Each sequence brings a table of addresses, one entry a weight, so that one step serves any mixture of adapters.
"""

import weakref
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from corral_engine import program as p
from corral_engine.kv_storage import KVStorage
from corral_engine.native.executor import NativeExecutor
from corral_engine.native.lower import Lowering
from corral_engine.native.optable import GROUP_ROWS, OP_COLUMNS, float_bits
from corral_engine.native.plan import Lowered, Plan, fill
from corral_engine.native.team import Table
from corral_engine.program import AdapterSet, Batch, Float32, LoraPair, Program
from corral_engine.reference import add_embedding_adapters

_KERNEL = "kernels.low_rank:update"
_KINDS = 1 << 16  # so that the times of adapted steps are never compared with those of plain ones
_LEAST_SCRATCH = 4096

Int64 = NDArray[np.int64]


def products_of(program: Program) -> list[str]:
    """The names of the weights that may be adapted; the place of one is its number."""
    return sorted({op.weight.name for op in program.ops if isinstance(op, p.Linear)})


class AdaptedLowering(Lowering):
    """Lowers a program with an update after each group of products of the same input."""

    def __init__(self, program: Program, storage: KVStorage, n_threads: int, numbers: dict[str, int], at: int) -> None:
        """`at` is the address of the two numbers that lead to a step's tables (see `kernels.low_rank`)."""
        super().__init__(program, storage, n_threads)
        self._numbers, self._table_at = numbers, at
        self._products: list[p.Linear] = []  # whose updates are still to come

    def _ops(self, op: p.Op) -> Iterable[Lowered]:
        together = isinstance(op, p.Linear) and bool(self._products) and op.x == self._products[0].x
        if not together:
            yield from self._updates()
        yield from super()._ops(op)
        if isinstance(op, p.Linear):
            self._products.append(op)
        if op is self.program.ops[-1]:
            yield from self._updates()

    def _updates(self) -> Iterable[Lowered]:
        products, self._products = self._products, []
        for op in products:
            rows_from = self._rows_of(op.x, op.out)
            yield replace(
                self._row_op(
                    _KERNEL, (op.x, op.out), op.out,
                    self._at(op.x), self._stride(op.x), self._at(op.out), self._stride(op.out),
                    self._numbers[op.weight.name], int(op.x.name in self.plan.selected),
                    self._width(op.x), self._width(op.out), self._table_at, float_bits(op.out_scale),
                ),
                rows_from=rows_from, grain=1,
            )  # fmt: skip


class AdaptedExecutor(NativeExecutor):
    """`NativeExecutor` that also runs steps in which sequences have adapters."""

    further_kernels = frozenset((_KERNEL,))  # there before anybody is served: compiling stops all others
    _adapted: Plan | None = None
    _adapted_table: Table | None = None
    _plain_table: Table | None = None  # the table whose buffers `_adapted_table` points at

    def run(self, batch: Batch, *, hidden: bool = False) -> Float32:
        """See `program.Executor.run`."""
        if not any(adapters.pairs for adapters in batch.adapters):
            return super().run(batch, hidden=hidden)
        plan = self._lower_adapted()
        n_tokens, n_selected = len(batch.token_ids), len(batch.output_rows)
        plain = self._reserve(n_tokens, n_selected, int(batch.positions.max()))
        addresses = self._addresses(batch.adapters)
        self._lead[:] = addresses.ctypes.data, len(self._numbers)
        table = self._table_for(plan, plain)
        self._embed(batch)
        for op in self._plan.embeds:
            out = self._buffers[op.out.name][:n_tokens, op.out.start : op.out.start + op.out.width]
            add_embedding_adapters(batch, op, out)
        keep = self._describe(batch, n_tokens, n_selected)
        n_ops = plan.n_hidden_ops if hidden else len(plan.ops)
        self._execute(table, n_ops, _KINDS + n_tokens.bit_length() * 2 + hidden)
        del keep
        result = self.program.hidden if hidden else self.program.output
        rows = n_selected if result.name in plan.selected else n_tokens
        return self._buffers[result.name][:rows, result.start : result.start + result.width]

    def _lower_adapted(self) -> Plan:
        """The plan of adapted steps, made once; everything else is shared with the plain one."""
        if self._adapted is None:
            self._numbers = {name: number for number, name in enumerate(products_of(self.program))}
            self._lead: Int64 = np.zeros(2, np.int64)
            self._packed: dict[int, Packed] = {}
            at = self._lead.ctypes.data
            lowering = AdaptedLowering(self.program, self.storage, self._team.n_threads, self._numbers, at)
            self._adapted = lowering.lower()
        return self._adapted

    def _table_for(self, plan: Plan, plain: Table) -> Table:
        """The op table of adapted steps, anew when the buffers have moved or a larger rank needs more scratch."""
        n_ranks = max((packed.most_ranks for packed in self._packed.values()), default=0)
        scratch = max(plan.scratch_bytes, _LEAST_SCRATCH, 4 * n_ranks + 64)
        old = self._adapted_table
        if old is None or self._plain_table is not plain or old.scratch_bytes < scratch:
            rows = np.zeros((len(plan.ops), OP_COLUMNS), np.int64)
            for row, op in zip(rows, plan.ops, strict=True):
                fill(row, op, self._resolve, self._kernels.addresses)
            self._adapted_table, self._plain_table = Table(rows, scratch), plain
            return self._adapted_table
        return old

    def _addresses(self, sets: Sequence[AdapterSet]) -> Int64:
        """int64 (sequences, weights): where the pairs of each are described."""
        rows = np.zeros((len(sets), len(self._numbers)), np.int64)
        for row, adapters in zip(rows, sets, strict=True):
            if adapters.pairs:
                row[:] = self._pack_adapters(adapters).addresses
        return rows

    def _pack_adapters(self, adapters: AdapterSet) -> "Packed":
        """The description of one set, kept for as long as the set lives."""
        key = id(adapters)
        if key not in self._packed:
            self._packed[key] = Packed(adapters, self._numbers)
            weakref.finalize(adapters, self._packed.pop, key, None)
        return self._packed[key]


class Packed:
    """One `AdapterSet` as the kernel reads it.  `addresses` int64 (weights,)."""

    def __init__(self, adapters: AdapterSet, numbers: dict[str, int]) -> None:
        self.addresses: Int64 = np.zeros(len(numbers), np.int64)
        self.most_ranks = 0
        self._kept: list[NDArray[np.float32] | Int64] = []
        for name, pairs in adapters.pairs.items():
            if name in numbers:
                self.addresses[numbers[name]] = self._describe(pairs)

    def _describe(self, pairs: Sequence[LoraPair]) -> int:
        row = [len(pairs)]
        for pair in pairs:
            a, b = _padded(pair.a), _padded(pair.b.T)
            self._kept += [a, b]
            row += [a.ctypes.data, b.ctypes.data, len(a), float_bits(pair.scale)]
            self.most_ranks = max(self.most_ranks, len(a))
        described = np.array(row, np.int64)
        self._kept.append(described)
        return int(described.ctypes.data)


def _padded(rows: Float32) -> Float32:
    """Contiguous, with zeros up to a whole number of registers a row."""
    missing = -rows.shape[1] % GROUP_ROWS
    return np.ascontiguousarray(np.pad(rows, ((0, 0), (0, missing))) if missing else rows, np.float32)
