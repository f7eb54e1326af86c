"""Matrix product of packed weights and quantized activations, for every block format.

Weights lie in groups of eight rows, so that one register holds four codes of each of the eight rows and one accumulator
register holds the eight results; there are no horizontal sums.  A format says how a block of 8 x 32 weights is unpacked
and which `Kind` of arithmetic finishes it.  The sums inside a block are exact integers and each result is one float
accumulator updated block after block, so a result has the same bits whichever kernel computes it:

    one    one token: weights are unpacked on the fly
    few    two to eight tokens: the same, each block of weights for four tokens at a time
    many   more tokens: two groups are unpacked once into a panel in this thread's scratch memory, then multiplied with
           four tokens at a time

One and few wait for memory, and processors foresee poorly what a block in several planes will need next, so they ask
for their weights ahead of time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from corral_engine.native.catalog import Format
from corral_engine.native.formats.repack import repacker
from corral_engine.native.kernels.epilogue import write_results
from corral_engine.native.kernels.kinds import REGISTERS, Kind, arithmetic
from corral_engine.native.machine import prefetch
from corral_engine.native.optable import (
    ACTIVATION_BLOCK,
    CACHE_LINE_BYTES,
    PANEL_BLOCK_BYTES,
    SIDE_BYTES,
    SPARE_BYTES,
    Linear,
    Op,
)
from corral_engine.native.simd import (
    VARIANT,
    inline,
    load_codes,
    load_f32x8,
    load_i32x8,
    load_i64,
    splat_codes,
    store_codes,
    store_f32x8,
    store_i32x8,
    zero_f32,
    zero_i32,
)

_WEIGHT, _GROUP_BYTES, _BLOCKS = 8 * Linear.WEIGHT, 8 * Linear.GROUP_BYTES, 8 * Linear.BLOCKS
_X, _X_STRIDE, _FIRST_ROW = 8 * Linear.X, 8 * Linear.X_STRIDE, 8 * Op.FIRST_ROW

_FEW = 8  # tokens for which unpacking into a panel does not pay
_AHEAD_BYTES = 8192  # how far before their use weights are asked for: what is read in 400 ns

_SCALE, _OFFSET, _PAIRS, _MINIMA = 256, 288, 320, 352  # in a block of a panel, after the codes


@dataclass(frozen=True, slots=True)
class BlockFormat:
    """How a block is packed and unpacked, as inline functions.

    repack(source, target, lane): one block of the file → row `lane` of a packed block
    codes(group, b): eight I8x32 of block b of 32 weights, `group` being the address of a packed group of rows
    sides(group, b): its scale (F32x8), offset (F32x8), pairs (I32x8), minima (I32x8)
    """

    kind: Kind
    facts: Format
    repack: Callable[..., Any]
    codes: Callable[..., Any]
    sides: Callable[..., Any]


def _register_dot(kind: Kind) -> Callable[..., Any]:
    """(eight code registers, address of 32 activation codes, pairs) → Σ code · x, a lane a row."""
    ops, steps = arithmetic(kind), kind.steps
    start, step, collect = ops.start, ops.step, ops.collect

    @inline
    def by_eight(c, x, pairs):  # type: ignore[no-untyped-def]
        s = step(step(start(), c[0], splat_codes(x)), c[1], splat_codes(x + 4))
        s = step(step(s, c[2], splat_codes(x + 8)), c[3], splat_codes(x + 12))
        s = step(step(s, c[4], splat_codes(x + 16)), c[5], splat_codes(x + 20))
        s = step(step(s, c[6], splat_codes(x + 24)), c[7], splat_codes(x + 28))
        return collect(0, zero_i32(), s, pairs)

    @inline
    def by_four(c, x, pairs):  # type: ignore[no-untyped-def]
        s = step(step(start(), c[0], splat_codes(x)), c[1], splat_codes(x + 4))
        s = step(step(s, c[2], splat_codes(x + 8)), c[3], splat_codes(x + 12))
        t = step(step(start(), c[4], splat_codes(x + 16)), c[5], splat_codes(x + 20))
        t = step(step(t, c[6], splat_codes(x + 24)), c[7], splat_codes(x + 28))
        return collect(1, collect(0, zero_i32(), s, pairs), t, pairs)

    @inline
    def by_two_chains(c, x, pairs):  # type: ignore[no-untyped-def]
        """A dot product waits four cycles for the sum that it adds to, so two sums are kept."""
        s, t = start(), start()
        s, t = step(s, c[0], splat_codes(x)), step(t, c[4], splat_codes(x + 16))
        s, t = step(s, c[1], splat_codes(x + 4)), step(t, c[5], splat_codes(x + 20))
        s, t = step(s, c[2], splat_codes(x + 8)), step(t, c[6], splat_codes(x + 24))
        s, t = step(s, c[3], splat_codes(x + 12)), step(t, c[7], splat_codes(x + 28))
        return collect(0, collect(0, zero_i32(), s, pairs), t, pairs)

    @inline
    def by_two(c, x, pairs):  # type: ignore[no-untyped-def]
        s = step(step(start(), c[0], splat_codes(x)), c[1], splat_codes(x + 4))
        t = step(step(start(), c[2], splat_codes(x + 8)), c[3], splat_codes(x + 12))
        u = step(step(start(), c[4], splat_codes(x + 16)), c[5], splat_codes(x + 20))
        v = step(step(start(), c[6], splat_codes(x + 24)), c[7], splat_codes(x + 28))
        i = collect(1, collect(0, zero_i32(), s, pairs), t, pairs)
        return collect(3, collect(2, i, u, pairs), v, pairs)

    if steps == REGISTERS and VARIANT in ("vnni", "neon"):
        return by_two_chains
    return {8: by_eight, 4: by_four, 2: by_two}[steps]


def _asker(form: BlockFormat) -> Callable[..., Any]:
    """Asks for the weights that lie _AHEAD_BYTES after block b of a group."""
    step = form.facts.packed_bytes * ACTIVATION_BLOCK // form.facts.weights
    lines = -(-step // CACHE_LINE_BYTES)

    @inline
    def ask_ahead(base, b):  # type: ignore[no-untyped-def]
        ahead = base + _AHEAD_BYTES + b * step
        for line in range(lines):
            prefetch(ahead + line * CACHE_LINE_BYTES)
        return 0

    return ask_ahead


def one(form: BlockFormat) -> Callable[..., None]:
    """The kernel for one token.  A unit of work is a group of eight outputs."""
    codes, sides, finish = form.codes, form.sides, arithmetic(form.kind).finish
    register_dot, ask_ahead = _register_dot(form.kind), _asker(form)

    def kernel(op: int, env: int, rows: int, begin: int, end: int, scratch: int) -> None:
        n_blocks = load_i64(op + _BLOCKS)
        row = load_i64(op + _FIRST_ROW)
        x = load_i64(op + _X) + row * load_i64(op + _X_STRIDE)
        side = x + n_blocks * ACTIVATION_BLOCK
        for group in range(begin, end):
            base = load_i64(op + _WEIGHT) + group * load_i64(op + _GROUP_BYTES)
            acc = zero_f32()
            for b in range(n_blocks):
                ask_ahead(base, b)
                scale, offset, pairs, minima = sides(base, b)
                i = register_dot(codes(base, b), x + b * ACTIVATION_BLOCK, pairs)
                acc = finish(acc, i, scale, offset, pairs, minima, side + b * SIDE_BYTES)
            write_results(op, row, group, acc, scratch)

    return kernel


def _one_by_four(form: BlockFormat) -> Callable[..., Any]:
    """Product of one packed group with four tokens."""
    codes, sides, finish = form.codes, form.sides, arithmetic(form.kind).finish
    register_dot, ask_ahead = _register_dot(form.kind), _asker(form)

    @inline
    def one_by_four(base, x0, x1, x2, x3, n_blocks):  # type: ignore[no-untyped-def]
        a0 = a1 = a2 = a3 = zero_f32()
        for b in range(n_blocks):
            ask_ahead(base, b)
            scale, offset, pairs, minima = sides(base, b)
            c, at, side = codes(base, b), b * ACTIVATION_BLOCK, n_blocks * ACTIVATION_BLOCK + b * SIDE_BYTES
            a0 = finish(a0, register_dot(c, x0 + at, pairs), scale, offset, pairs, minima, x0 + side)
            a1 = finish(a1, register_dot(c, x1 + at, pairs), scale, offset, pairs, minima, x1 + side)
            a2 = finish(a2, register_dot(c, x2 + at, pairs), scale, offset, pairs, minima, x2 + side)
            a3 = finish(a3, register_dot(c, x3 + at, pairs), scale, offset, pairs, minima, x3 + side)
        return a0, a1, a2, a3

    return one_by_four


def _unpack(form: BlockFormat) -> Callable[..., Any]:
    codes, sides = form.codes, form.sides

    @inline
    def unpack(base, n_blocks, panel):  # type: ignore[no-untyped-def]
        """Write a group as blocks of PANEL_BLOCK_BYTES: codes, scale, offset, pairs, minima."""
        for b in range(n_blocks):
            to = panel + b * PANEL_BLOCK_BYTES
            c = codes(base, b)
            store_codes(to, c[0])
            store_codes(to + 32, c[1])
            store_codes(to + 64, c[2])
            store_codes(to + 96, c[3])
            store_codes(to + 128, c[4])
            store_codes(to + 160, c[5])
            store_codes(to + 192, c[6])
            store_codes(to + 224, c[7])
            scale, offset, pairs, minima = sides(base, b)
            store_f32x8(to + _SCALE, scale)
            store_f32x8(to + _OFFSET, offset)
            store_i32x8(to + _PAIRS, pairs)
            store_i32x8(to + _MINIMA, minima)
        return 0

    return unpack


def _two_by_four(kind: Kind) -> Callable[..., Any]:
    """Product of a panel of two groups with four tokens."""
    ops, steps, parts = arithmetic(kind), kind.steps, kind.parts
    start, step, collect, finish = ops.start, ops.step, ops.collect, ops.finish

    @inline
    def two_by_four(p, q, x0, x1, x2, x3, n_blocks):  # type: ignore[no-untyped-def]
        a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = zero_f32()
        width = n_blocks * ACTIVATION_BLOCK
        for block in range(n_blocks):
            c = block * ACTIVATION_BLOCK
            i0 = i1 = i2 = i3 = j0 = j1 = j2 = j3 = zero_i32()
            p_pairs, q_pairs = load_i32x8(p + _PAIRS), load_i32x8(q + _PAIRS)
            for part in range(parts):
                s0 = s1 = s2 = s3 = t0 = t1 = t2 = t3 = start()
                for register in range(part * steps, (part + 1) * steps):
                    u, v = load_codes(p + 32 * register), load_codes(q + 32 * register)
                    at = c + 4 * register
                    y = splat_codes(x0 + at)
                    s0, t0 = step(s0, u, y), step(t0, v, y)
                    y = splat_codes(x1 + at)
                    s1, t1 = step(s1, u, y), step(t1, v, y)
                    y = splat_codes(x2 + at)
                    s2, t2 = step(s2, u, y), step(t2, v, y)
                    y = splat_codes(x3 + at)
                    s3, t3 = step(s3, u, y), step(t3, v, y)
                i0, j0 = collect(part, i0, s0, p_pairs), collect(part, j0, t0, q_pairs)
                i1, j1 = collect(part, i1, s1, p_pairs), collect(part, j1, t1, q_pairs)
                i2, j2 = collect(part, i2, s2, p_pairs), collect(part, j2, t2, q_pairs)
                i3, j3 = collect(part, i3, s3, p_pairs), collect(part, j3, t3, q_pairs)
            side = width + block * SIDE_BYTES
            scale, offset, minima = load_f32x8(p + _SCALE), load_f32x8(p + _OFFSET), load_i32x8(p + _MINIMA)
            a0 = finish(a0, i0, scale, offset, p_pairs, minima, x0 + side)
            a1 = finish(a1, i1, scale, offset, p_pairs, minima, x1 + side)
            a2 = finish(a2, i2, scale, offset, p_pairs, minima, x2 + side)
            a3 = finish(a3, i3, scale, offset, p_pairs, minima, x3 + side)
            scale, offset, minima = load_f32x8(q + _SCALE), load_f32x8(q + _OFFSET), load_i32x8(q + _MINIMA)
            b0 = finish(b0, j0, scale, offset, q_pairs, minima, x0 + side)
            b1 = finish(b1, j1, scale, offset, q_pairs, minima, x1 + side)
            b2 = finish(b2, j2, scale, offset, q_pairs, minima, x2 + side)
            b3 = finish(b3, j3, scale, offset, q_pairs, minima, x3 + side)
            p += PANEL_BLOCK_BYTES
            q += PANEL_BLOCK_BYTES
        return a0, a1, a2, a3, b0, b1, b2, b3

    return two_by_four


@inline
def _write_four(op, row, left, group, a0, a1, a2, a3, scratch):  # type: ignore[no-untyped-def]
    """Write the results of one group for up to four rows, of which `left` are wanted."""
    write_results(op, row, group, a0, scratch)
    if left > 1:
        write_results(op, row + 1, group, a1, scratch)
    if left > 2:
        write_results(op, row + 2, group, a2, scratch)
    if left > 3:
        write_results(op, row + 3, group, a3, scratch)
    return 0


def many(form: BlockFormat) -> Callable[..., None]:
    """The kernel for several tokens, few or many.  A unit of work is a group of eight outputs, for all rows."""
    unpack, two_by_four, one_by_four = _unpack(form), _two_by_four(form.kind), _one_by_four(form)

    def kernel(op: int, env: int, rows: int, begin: int, end: int, scratch: int) -> None:
        n_blocks, stride, size = load_i64(op + _BLOCKS), load_i64(op + _X_STRIDE), load_i64(op + _GROUP_BYTES)
        first = load_i64(op + _FIRST_ROW)
        x_begin, x_last = load_i64(op + _X) + first * stride, load_i64(op + _X) + (first + rows - 1) * stride
        p = scratch + SPARE_BYTES
        q = p + n_blocks * PANEL_BLOCK_BYTES
        few = rows <= _FEW
        for group in range(begin, end, 1 if few else 2):
            pair = not few and group + 1 < end
            base = load_i64(op + _WEIGHT) + group * size
            if not few:
                unpack(base, n_blocks, p)
                unpack(base + size if pair else base, n_blocks, q)
            for i in range(0, rows, 4):
                x = x_begin + i * stride
                x1, x2, x3 = min(x + stride, x_last), min(x + 2 * stride, x_last), min(x + 3 * stride, x_last)
                row, left = first + i, rows - i
                if few:
                    a0, a1, a2, a3 = one_by_four(base, x, x1, x2, x3, n_blocks)
                    _write_four(op, row, left, group, a0, a1, a2, a3, scratch)
                else:
                    a0, a1, a2, a3, b0, b1, b2, b3 = two_by_four(p, q, x, x1, x2, x3, n_blocks)
                    _write_four(op, row, left, group, a0, a1, a2, a3, scratch)
                    if pair:
                        _write_four(op, row, left, group + 1, b0, b1, b2, b3, scratch)

    return kernel


def build(form: BlockFormat, what: str) -> Callable[..., None]:
    """The kernel of a block format called "one", "many" or "repack"."""
    if what == "repack":
        return repacker(form.facts, form.repack)
    return {"one": one, "many": many}[what](form)
