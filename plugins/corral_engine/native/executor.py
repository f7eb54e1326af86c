"""The `program.Executor` that runs on SIMD kernels: a whole step is one call of compiled code."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from corral import FormatError
from corral_engine.abandon import Checkpoint, carry_on
from corral_engine.dequantize import dequantize, row_bytes
from corral_engine.kv_storage import KVStorage
from corral_engine.native import objects, optable
from corral_engine.native.arena import Arena, forget, padded
from corral_engine.native.catalog import FORMATS
from corral_engine.native.decoder import Decoder
from corral_engine.native.lower import Lowering
from corral_engine.native.optable import GROUP_ROWS, OP_COLUMNS, Env, Op, Repack
from corral_engine.native.plan import Lowered, Plan, Reference, Rotation, Slot, fill
from corral_engine.native.rotations import RotationTable
from corral_engine.native.team import Table, Team, aligned, default_threads
from corral_engine.program import Batch, Float32, Int32, Program, Tensors, Weight

_BEGIN, _RUN = "kernels.interpreter:begin", "kernels.interpreter:run"
_PAD_COLUMNS = 16  # rows of buffers are padded to a cache line


class NativeExecutor:
    """Runs one program on one model; see `program.Executor`."""

    further_kernels: frozenset[str] = frozenset()

    def __init__(
        self,
        program: Program,
        tensors: Tensors,
        storage: KVStorage,
        n_threads: int = 0,
        check: Checkpoint = carry_on,
    ) -> None:
        """Load or compile the kernels and repack the weights.  `n_threads` 0: all physical cores.

        `check` is called between kernels and between tensors.  Raises Unsupported when the program needs something that
        has no kernel, FormatError, and what `check` raises.
        """
        self.program, self.storage, self._tensors = program, storage, tensors
        n_threads = n_threads or default_threads()
        self._plan: Plan = Lowering(program, storage, n_threads).lower()
        weights = self._plan.weights
        self._repacked = [weight for weight in weights.values() if weight.type in FORMATS]
        self._decoder = Decoder({name: w for name, w in weights.items() if w.type not in FORMATS}, tensors)
        repackers = {f"{FORMATS[weight.type].kernels}:repack" for weight in self._repacked}
        names = self._plan.kernels | {_BEGIN, _RUN} | repackers | self.further_kernels
        self._kernels = objects.load(names, check=check)
        self._vectors = {name: self._vector(weight) for name, weight in self._plan.vectors.items()}
        self._weights = self._pack(check)
        self._team = self._new_team(n_threads)
        self._rotations = {rotation: RotationTable(rotation) for rotation in self._plan.rotations}
        self._buffers: dict[str, Float32] = {}
        self._quantized: dict[str, np.ndarray[tuple[int], np.dtype[np.uint8]]] = {}
        self._capacity = {Env.TOKENS: 0, Env.SELECTED: 0}
        self._table: Table | None = None

    def _new_team(self, n_threads: int) -> Team:
        return Team(n_threads, self._kernels.function(_BEGIN), self._kernels.function(_RUN))

    # --- weights --------------------------------------------------------------------------------------------------

    def _vector(self, weight: Weight) -> Float32:
        """A row of weights as float32, padded to whole registers."""
        values = dequantize(self._tensors[weight.name], weight.type, weight.shape[-1]).reshape(-1)
        out = np.zeros(-(-len(values) // GROUP_ROWS) * GROUP_ROWS, np.float32)
        out[: len(values)] = values
        return out

    def _pack(self, check: Checkpoint) -> dict[str, np.ndarray[tuple[int], np.dtype[np.uint8]]]:
        """Repack every weight of a product, tensor by tensor, on every core: the thread count bounds steps only."""
        team = self._new_team(default_threads())
        try:
            return self._pack_with(team, check)
        finally:
            team.close()

    def _pack_with(self, team: Team, check: Checkpoint) -> dict[str, np.ndarray[tuple[int], np.dtype[np.uint8]]]:
        arena = Arena(sum(padded(_packed_bytes(weight)) for weight in self._repacked))
        packed = {}
        for weight in self._repacked:
            check()
            source, target = np.ascontiguousarray(self._tensors[weight.name]), arena.take(_packed_bytes(weight))
            form, (n_rows, columns) = FORMATS[weight.type], weight.shape
            if source.nbytes != n_rows * row_bytes(weight.type, columns):
                raise FormatError(f"tensor {weight.name} has {source.nbytes} bytes, which does not fit {weight.shape}")
            args: dict[int, int | Reference] = {
                Repack.SOURCE: source.ctypes.data,
                Repack.TARGET: target.ctypes.data,
                Repack.ROWS: n_rows,
                Repack.BLOCKS: columns // form.weights,
            }
            op = Lowered(
                f"{form.kernels}:repack", args, 0, (), (), tile=1 << 30, outer=-(-n_rows // GROUP_ROWS), grain=8
            )
            row = np.zeros((1, OP_COLUMNS), np.int64)
            fill(row[0], op, lambda _: 0, self._kernels.addresses)
            row[0, Op.ROWS] = 2  # any number above one: the units of work are groups
            team.run(Table(row, self._plan.scratch_bytes), 1)
            packed[weight.name] = target
            forget(source)
        return packed

    # --- memory of a step -----------------------------------------------------------------------------------------

    def _rows_from(self, name: str) -> Env:
        return Env.SELECTED if name in self._plan.selected else Env.TOKENS

    def _reserve(self, n_tokens: int, n_selected: int, last_position: int) -> Table:
        """Buffers and tables large enough for a step, and the op table that points at them."""
        stale = self._table is None
        for kind, needed in ((Env.TOKENS, n_tokens), (Env.SELECTED, n_selected)):
            if needed > self._capacity[kind]:
                self._capacity[kind] = 1 << (needed - 1).bit_length()
                stale = True
        for table in self._rotations.values():
            stale |= table.reach(last_position)
        if stale or self._table is None:
            self._allocate()
            rows = np.zeros((len(self._plan.ops), OP_COLUMNS), np.int64)
            for row, op in zip(rows, self._plan.ops, strict=True):
                fill(row, op, self._resolve, self._kernels.addresses)
            self._table = Table(rows, self._plan.scratch_bytes)
        return self._table

    def _allocate(self) -> None:
        for name, width in self._plan.widths.items():
            rows, columns = self._capacity[self._rows_from(name)], -(-width // _PAD_COLUMNS) * _PAD_COLUMNS
            if name not in self._buffers or len(self._buffers[name]) < rows:
                self._buffers[name] = aligned(4 * rows * columns).view(np.float32).reshape(rows, columns)
        for name, width in self._plan.quantized.items():
            n_bytes = self._capacity[self._rows_from(name)] * optable.quantized_row_bytes(width)
            if name not in self._quantized or len(self._quantized[name]) < n_bytes:
                self._quantized[name] = aligned(n_bytes)

    def _resolve(self, reference: Reference) -> int:
        """The address (or the stride) that a reference stands for."""
        key = reference.key
        if isinstance(key, Rotation):
            return int(self._rotations[key].rows.ctypes.data)
        if reference.slot is Slot.DECODER:
            return self._decoder.address
        if reference.slot is Slot.WEIGHT and key in self._decoder.numbers:
            return self._decoder.numbers[key]
        if reference.slot is Slot.STRIDE:
            return int(self._buffers[key].strides[0])
        held: dict[Slot, Mapping[str, np.ndarray[Any, np.dtype[Any]]]] = {
            Slot.BUFFER: self._buffers,
            Slot.QUANTIZED: self._quantized,
            Slot.WEIGHT: self._weights,
            Slot.VECTOR: self._vectors,
        }
        return int(held[reference.slot][key].ctypes.data) + reference.offset

    # --- a step ---------------------------------------------------------------------------------------------------

    def run(self, batch: Batch, *, hidden: bool = False) -> Float32:
        """See `program.Executor.run`."""
        n_tokens, n_selected = len(batch.token_ids), len(batch.output_rows)
        table = self._reserve(n_tokens, n_selected, int(batch.positions.max()))
        self._embed(batch)
        keep = self._describe(batch, n_tokens, n_selected)
        n_ops = self._plan.n_hidden_ops if hidden else len(self._plan.ops)
        self._execute(table, n_ops, n_tokens.bit_length() * 2 + hidden)
        del keep
        result = self.program.hidden if hidden else self.program.output
        rows = n_selected if result.name in self._plan.selected else n_tokens
        return self._buffers[result.name][:rows, result.start : result.start + result.width]

    def _execute(self, table: Table, n_ops: int, kind: int) -> None:
        self._team.run(table, n_ops, kind=kind)
        self._decoder.check()

    def _embed(self, batch: Batch) -> None:
        for op in self._plan.embeds:
            index = {"token": batch.token_ids, "position": batch.positions}.get(op.by)
            if index is None:
                index = np.zeros_like(batch.token_ids)
            table = self._tensors[op.table.name].reshape(-1, row_bytes(op.table.type, op.table.shape[-1]))
            rows = dequantize(table[index], op.table.type, op.table.shape[-1])
            if op.scale != 1:
                rows = rows * np.float32(op.scale)
            out = self._buffers[op.out.name][: len(index), op.out.start : op.out.start + op.out.width]
            out[:] = out + rows if op.add else rows

    def _describe(self, batch: Batch, n_tokens: int, n_selected: int) -> list[Int32]:
        """Set the step's environment; the arrays must live until the step is over."""
        end_of = np.zeros(len(batch.page_table), np.int32)
        end_of[batch.seq_of] = np.arange(1, n_tokens + 1, dtype=np.int32)
        arrays = [
            np.ascontiguousarray(array, np.int32)
            for array in (batch.positions, batch.seq_of, batch.page_table, batch.output_rows, end_of)
        ]
        columns = (Env.POSITIONS, Env.SEQ_OF, Env.PAGE_TABLE, Env.OUTPUT_ROWS, Env.END_OF)
        for column, array in zip(columns, arrays, strict=True):
            self._team.set(column, array.ctypes.data)
        self._team.set(Env.TOKENS, n_tokens)
        self._team.set(Env.SELECTED, n_selected)
        self._team.set(Env.PAGES, batch.page_table.shape[1])
        self._team.set(Env.STORAGE, self.storage.data.ctypes.data)
        self._team.set(Env.PAGE_BYTES, self.storage.page_bytes)
        return arrays

    def close(self) -> None:
        """See `program.Executor.close`."""
        self._team.close()
        self._weights, self._tensors = {}, {}
        self._table = None
        self._buffers.clear()
        self._quantized.clear()


def _packed_bytes(weight: Weight) -> int:
    form, (n_rows, columns) = FORMATS[weight.type], weight.shape
    return -(-n_rows // GROUP_ROWS) * (columns // form.weights) * form.packed_bytes
