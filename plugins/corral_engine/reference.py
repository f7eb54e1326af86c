"""The plain numpy executor: float32 throughout, the definition of what is right, the fallback without native kernels.

Weights stay in their storage type and are dequantized slice by slice while they are used.  Every matrix product has a
fixed shape (see `product`), so that a row's result does not depend on what else is in the batch.
"""

from collections.abc import Callable, Iterable
from typing import cast

import numpy as np

from corral_engine import program as p
from corral_engine.dequantize import dequantize, row_bytes
from corral_engine.kv_storage import KVStorage
from corral_engine.program import Batch, Buffer, Float32, Int32, Program, Tensors, Weight
from corral_engine.reference_attention import attend, store

ROWS = 8  # of a matrix product
SLICE = 1 << 22  # weights dequantized at once (16 MiB)

_GELU = np.float32(0.7978845608028654)  # sqrt(2 / pi)


def slots_of(seq_of: Int32, positions: Int32) -> Int32:
    """A place for each row in blocks of ROWS: always position % ROWS, in a block of its own sequence."""
    if not len(positions):
        return positions
    block = positions // ROWS
    new = np.diff(seq_of, prepend=-1).astype(bool) | np.diff(block, prepend=-1).astype(bool)
    slots: Int32 = (np.cumsum(new) - 1) * ROWS + positions % ROWS
    return slots


def product(x: Float32, w: Float32, slots: Int32) -> Float32:
    """x (T, in) · wᵀ for w (out, in) → (T, out).

    BLAS rounds differently by the shape of a product and by the place of a row in it.  Here both are fixed: every
    product has ROWS rows, and a row stands where its position says.
    """
    if not len(x):
        return np.empty((0, len(w)), np.float32)
    padded = np.zeros((int(slots[-1]) // ROWS + 1, ROWS, x.shape[1]), np.float32)
    padded.reshape(-1, x.shape[1])[slots] = x
    out: Float32 = (padded @ w.T).reshape(-1, len(w))[slots]
    return out


def sigmoid(x: Float32) -> Float32:
    """1 / (1 + e^-x) without overflow."""
    small = np.exp(-np.abs(x))
    result: Float32 = np.where(x >= 0, np.float32(1), small) / (1 + small)
    return result


def gelu_tanh(x: Float32) -> Float32:
    result: Float32 = np.float32(0.5) * x * (1 + np.tanh(_GELU * x * (1 + np.float32(0.044715) * x * x)))
    return result


def gelu_erf(x: Float32) -> Float32:
    from math import erf

    exact = np.frompyfunc(erf, 1, 1)
    result: Float32 = np.float32(0.5) * x * (1 + exact(x / np.sqrt(2.0)).astype(np.float32))
    return result


ACTIVATIONS: dict[str, Callable[[Float32], Float32]] = {
    "silu": lambda x: x * sigmoid(x),
    "gelu": gelu_tanh,
    "gelu_erf": gelu_erf,
    "relu": lambda x: np.maximum(x, 0),
    "quick_gelu": lambda x: x * sigmoid(np.float32(1.702) * x),
}


class ReferenceExecutor:
    """`program.Executor` in numpy."""

    def __init__(self, program: Program, tensors: Tensors, storage: KVStorage, n_threads: int = 0) -> None:
        """`n_threads` is numpy's own affair here."""
        self.program, self.tensors, self.storage = program, tensors, storage
        self._small: dict[str, Float32] = {}  # norms and biases: one row each
        self._buffers: dict[str, Float32] = {}
        self._run: dict[type, Callable[[Batch, p.Op], None]] = {
            p.Embed: self._embed,
            p.Norm: self._norm,
            p.Linear: self._linear,
            p.Rope: self._rope,
            p.StoreKV: self._store,
            p.Attention: self._attention,
            p.Activate: self._activate,
            p.Add: self._add,
            p.SelectRows: self._select,
            p.Softcap: self._softcap,
        }
        self._selected = _after_selection(program)
        hidden = [i for i, op in enumerate(program.ops) if getattr(op, "out", None) == program.hidden]
        self._n_hidden_ops = hidden[-1] + 1

    def run(self, batch: Batch, *, hidden: bool = False) -> Float32:
        self._buffers.clear()
        with np.errstate(over="ignore", invalid="ignore"):  # a broken model gives NaN logits, told by the sampler
            for op in self.program.ops[: self._n_hidden_ops if hidden else None]:
                self._run[type(op)](batch, op)
        return self._read(self.program.hidden if hidden else self.program.output)

    def close(self) -> None:
        self._buffers.clear()
        self._small.clear()
        self.tensors = {}

    # --- buffers and weights --------------------------------------------------------------------------------------

    def _read(self, buffer: Buffer) -> Float32:
        return self._buffers[buffer.name][:, buffer.start : buffer.start + buffer.width]

    def _write(self, buffer: Buffer, values: Float32) -> None:
        width = buffer.stride or buffer.width
        if width == buffer.width:
            self._buffers[buffer.name] = values.astype(np.float32, copy=False)
            return
        held = self._buffers.get(buffer.name)
        if held is None or len(held) != len(values):
            held = self._buffers[buffer.name] = np.zeros((len(values), width), np.float32)
        held[:, buffer.start : buffer.start + buffer.width] = values

    def _row(self, weight: Weight) -> Float32:
        """A vector of weights (a norm or a bias), kept as float32."""
        if weight.name not in self._small:
            self._small[weight.name] = dequantize(self.tensors[weight.name], weight.type, weight.shape[-1]).reshape(-1)
        return self._small[weight.name]

    def _rows(self, weight: Weight, rows: Int32) -> Float32:
        data = self.tensors[weight.name].reshape(-1, row_bytes(weight.type, weight.shape[-1]))
        return dequantize(data[rows], weight.type, weight.shape[-1])

    def _slices(self, weight: Weight) -> Iterable[tuple[slice, Float32]]:
        n_rows, columns = weight.shape
        data = self.tensors[weight.name].reshape(n_rows, -1)
        step = max(1, SLICE // columns)
        for start in range(0, n_rows, step):
            yield slice(start, start + step), dequantize(data[start : start + step], weight.type, columns)

    # --- operations -----------------------------------------------------------------------------------------------

    def _embed(self, batch: Batch, op: p.Op) -> None:
        op = cast(p.Embed, op)
        index = {"token": batch.token_ids, "position": batch.positions, "zero": np.zeros_like(batch.token_ids)}[op.by]
        rows = self._rows(op.table, index) * np.float32(op.scale)
        add_embedding_adapters(batch, op, rows)
        self._write(op.out, self._read(op.out) + rows if op.add else rows)

    def _norm(self, batch: Batch, op: p.Op) -> None:
        op = cast(p.Norm, op)
        x = self._read(op.x)
        group = op.group or op.x.width
        grouped = x.reshape(len(x), op.x.width // group, group)
        if op.kind == "layer":
            grouped = grouped - grouped.mean(axis=-1, keepdims=True, dtype=np.float64).astype(np.float32)
        mean_square = np.square(grouped).mean(axis=-1, keepdims=True, dtype=np.float64)
        y = grouped * (1 / np.sqrt(mean_square + op.eps)).astype(np.float32)
        if op.weight is not None:
            y = y * self._row(op.weight)
        if op.bias is not None:
            y = y + self._row(op.bias)
        self._write(op.out, y.reshape(x.shape))

    def _linear(self, batch: Batch, op: p.Op) -> None:
        op = cast(p.Linear, op)
        x = self._read(op.x)
        seq_of, positions = batch.seq_of, batch.positions
        if op.x.name in self._selected:
            seq_of, positions = seq_of[batch.output_rows], positions[batch.output_rows]
        slots = slots_of(seq_of, positions)
        y = np.empty((len(x), op.out.width), np.float32)
        for rows, w in self._slices(op.weight):
            y[:, rows] = product(x, w, slots)
        for which, pair in _pairs(batch, op.weight.name, seq_of):
            part = product(product(x[which], pair.a, slots[which]), pair.b, slots[which])
            y[which] += np.float32(pair.scale) * part
        if op.bias is not None:
            y += self._row(op.bias)
        if op.out_scale != 1:
            y *= np.float32(op.out_scale)
        self._write(op.out, self._read(op.out) + y if op.add else y)

    def _rope(self, batch: Batch, op: p.Op) -> None:
        op = cast(p.Rope, op)
        x = self._read(op.x)
        heads = x.reshape(len(x), op.x.width // op.head_dim, op.head_dim).copy()
        angle = batch.positions[:, None, None].astype(np.float64) * np.asarray(op.inv_freq)
        cos = (np.cos(angle) * op.magnitude).astype(np.float32)
        sin = (np.sin(angle) * op.magnitude).astype(np.float32)
        half = op.n_dims // 2
        first, second = slice(0, op.n_dims, 2), slice(1, op.n_dims, 2)
        if op.kind == "neox":
            first, second = slice(0, half), slice(half, op.n_dims)
        a, b = heads[..., first].copy(), heads[..., second].copy()
        heads[..., first] = a * cos - b * sin
        heads[..., second] = a * sin + b * cos
        self._write(op.x, heads.reshape(x.shape))

    def _store(self, batch: Batch, op: p.Op) -> None:
        op = cast(p.StoreKV, op)
        store(self.storage, batch, op, self._read(op.k), self._read(op.v))

    def _attention(self, batch: Batch, op: p.Op) -> None:
        op = cast(p.Attention, op)
        self._write(op.out, attend(self.storage, batch, op, self._read(op.q)))

    def _activate(self, batch: Batch, op: p.Op) -> None:
        op = cast(p.Activate, op)
        y = ACTIVATIONS[op.kind](self._read(op.gate))
        self._write(op.out, y if op.up is None else y * self._read(op.up))

    def _add(self, batch: Batch, op: p.Op) -> None:
        op = cast(p.Add, op)
        b = self._read(op.b)
        self._write(op.out, self._read(op.a) + (b if op.scale == 1 else b * np.float32(op.scale)))

    def _select(self, batch: Batch, op: p.Op) -> None:
        op = cast(p.SelectRows, op)
        self._write(op.out, self._read(op.x)[batch.output_rows])

    def _softcap(self, batch: Batch, op: p.Op) -> None:
        op = cast(p.Softcap, op)
        x = self._read(op.x)
        if op.cap:
            x = np.float32(op.cap) * np.tanh(x / np.float32(op.cap))
        self._write(op.x, x * np.float32(op.scale))


def _after_selection(program: Program) -> frozenset[str]:
    """Buffers that hold only the selected rows."""
    start = next(i for i, op in enumerate(program.ops) if isinstance(op, p.SelectRows))
    outs = [getattr(op, "out", None) for op in program.ops[start:]]
    return frozenset(out.name for out in outs if out is not None)


def add_embedding_adapters(batch: Batch, op: p.Embed, rows: Float32) -> None:
    """Add to the embeddings (T, E) of a step what its sequences' adapters change about the table."""
    if op.by != "token" or not batch.adapters:
        return
    slots = slots_of(batch.seq_of, batch.positions)
    for which, pair in _pairs(batch, f"{op.table.name}:rows", batch.seq_of):
        part = product(pair.a.T[batch.token_ids[which]], pair.b, slots[which])
        rows[which] += np.float32(pair.scale * op.scale) * part


def _pairs(batch: Batch, name: str, seq_of: Int32) -> Iterable[tuple[Int32, p.LoraPair]]:
    """(rows, pair) of every adapter that targets `name`, sequence by sequence."""
    for index, adapters in enumerate(batch.adapters):
        rows = np.flatnonzero(seq_of == index).astype(np.int32)
        for pair in adapters.pairs.get(name, ()) if len(rows) else ():
            yield rows, pair
