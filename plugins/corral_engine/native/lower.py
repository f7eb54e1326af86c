"""Lower a `Program` to the rows of an op table: kernels by name, buffers by number, decisions made once.

What is decided here: which buffers must be quantized and when (once for every product that reads them), which ops
run row by row in one claim, which ops need not wait for each other, and how finely work is divided.
"""

from collections.abc import Iterable
from dataclasses import replace

from corral import Unsupported
from corral_engine import program as p
from corral_engine.kv_storage import KVStorage
from corral_engine.native import optable
from corral_engine.native.catalog import DECODED, FORMATS
from corral_engine.native.optable import GROUP_ROWS, Attention, Env, Linear, Op, float_bits
from corral_engine.native.plan import Lowered, Plan, Reference, Rotation, Slot
from corral_engine.program import Buffer, Program, Weight

_CHUNKS_A_THREAD = 4
_CHUNK_WEIGHTS = 600_000  # most weights of one claim for one token: about 50 µs
_MANY_GRAIN = 4  # groups of eight outputs claimed at once for many tokens
_TILE_ROWS = 24  # query rows of an attention tile, about
_LANES = 8


class Lowering:
    """Lowers one program for one cache layout and number of threads.  Raises Unsupported."""

    def __init__(self, program: Program, storage: KVStorage, n_threads: int) -> None:
        self.program, self.storage, self.n_threads = program, storage, n_threads
        self.plan = Plan()
        self._versions: dict[str, int] = {}  # how often a buffer was written
        self._quantized: dict[
            str, tuple[tuple[int, int], int]
        ] = {}  # buffer → columns quantized last, at which version

    def lower(self) -> Plan:
        """Lower every op, then group them."""
        plan = self.plan
        for op in self.program.ops:
            if isinstance(op, p.Embed):
                self._embed(op)
                continue
            for lowered in self._ops(op):
                plan.ops.append(replace(lowered, source=op))
                for name in lowered.writes:
                    self._versions[name] = self._versions.get(name, 0) + 1
        plan.ops = _let_run_together(_let_follow(plan.ops))
        hidden = self.program.hidden.name
        last = max((i for i, op in enumerate(plan.ops) if hidden in op.writes), default=-1)
        plan.n_hidden_ops = _end_of_group(plan.ops, last)
        return plan

    def _ops(self, op: p.Op) -> Iterable[Lowered]:
        match op:
            case p.Norm():
                yield self._norm(op)
            case p.Linear():
                yield from self._linear(op)
            case p.Rope():
                yield self._rope(op)
            case p.StoreKV():
                yield from self._store(op)
            case p.Attention():
                yield self._attention(op)
            case p.Activate():
                yield self._activate(op)
            case p.Add():
                yield self._add(op)
            case p.SelectRows():
                yield self._select(op)
            case p.Softcap():
                yield self._softcap(op)
            case _:
                raise Unsupported(f"the native kernels have no operation {type(op).__name__}")

    # --- buffers --------------------------------------------------------------------------------------------------

    def _at(self, buffer: Buffer) -> Reference:
        """The first column of a buffer in its first row."""
        whole = buffer.stride or buffer.width
        known = self.plan.widths.setdefault(buffer.name, whole)
        if known != whole:
            raise Unsupported(f"buffer {buffer.name} is used with {known} and with {whole} columns")
        if buffer.stride and (buffer.start % _LANES or buffer.width % _LANES):
            raise Unsupported(f"columns {buffer.start} … of {buffer.name} are no multiple of {_LANES}")
        return Reference(Slot.BUFFER, buffer.name, 4 * buffer.start)

    @staticmethod
    def _stride(buffer: Buffer) -> Reference:
        return Reference(Slot.STRIDE, buffer.name)

    @staticmethod
    def _width(buffer: Buffer) -> int:
        """Columns to work on: rows are padded, so up to seven more than the buffer has."""
        return -(-buffer.width // _LANES) * _LANES

    def _rows_of(self, *buffers: Buffer) -> int:
        """Which count of rows buffers have; what is written from selected rows is selected."""
        if any(buffer.name in self.plan.selected for buffer in buffers):
            self.plan.selected.update(buffer.name for buffer in buffers)
            return Env.SELECTED
        return Env.TOKENS

    def _row_op(self, kernel: str, reads: tuple[Buffer, ...], write: Buffer, *args: int | Reference) -> Lowered:
        """An op that treats every row by itself."""
        rows_from = self._rows_of(*reads, write)
        names = tuple(buffer.name for buffer in reads)
        columns = {Op.ARGS + i: value for i, value in enumerate(args)}
        return Lowered(kernel, columns, rows_from, names, (write.name,), grain=2, rows_alone=True)

    def _vector(self, weight: Weight | None) -> int | Reference:
        if weight is None:
            return 0
        self.plan.vectors[weight.name] = weight
        return Reference(Slot.VECTOR, weight.name)

    # --- operations -----------------------------------------------------------------------------------------------

    def _embed(self, op: p.Embed) -> None:
        if self.plan.ops:
            raise Unsupported("the native kernels embed at the beginning only")
        self._at(op.out)
        self.plan.embeds.append(op)
        self._versions[op.out.name] = self._versions.get(op.out.name, 0) + 1

    def _norm(self, op: p.Norm) -> Lowered:
        group = op.group or op.x.width
        if group % _LANES:
            raise Unsupported(f"a norm over {group} columns is no multiple of {_LANES}")
        return self._row_op(
            f"kernels.rows:{op.kind}", (op.x,), op.out,
            self._at(op.x), self._stride(op.x), self._at(op.out), self._stride(op.out), op.x.width, group,
            self._vector(op.weight), self._vector(op.bias), float_bits(op.eps),
        )  # fmt: skip

    def _quantize(self, x: Buffer) -> Iterable[Lowered]:
        """The op that quantizes x, unless its int8 form is up to date."""
        key, version = (x.start, x.width), self._versions.get(x.name, 0)
        if self._quantized.get(x.name) == (key, version):
            return
        self._quantized[x.name] = key, version
        name = f"{x.name}:int8"
        self.plan.quantized[name] = max(x.width, self.plan.quantized.get(name, 0))
        rows_from = self._rows_of(x)
        if rows_from == Env.SELECTED:
            self.plan.selected.add(name)
        to, to_stride = Reference(Slot.QUANTIZED, name), optable.quantized_row_bytes(x.width)
        args: tuple[int | Reference, ...] = (self._at(x), self._stride(x), to, to_stride, x.width)
        columns = {Op.ARGS + i: value for i, value in enumerate(args)}
        yield Lowered("kernels.quantize:rows", columns, rows_from, (x.name,), (name,), grain=2, rows_alone=True)

    def _linear(self, op: p.Linear) -> Iterable[Lowered]:
        form = FORMATS.get(op.weight.type, DECODED)
        n_rows, columns = op.weight.shape
        self.plan.weights[op.weight.name] = op.weight
        at_out = self._at(op.out)
        n_blocks = columns // optable.ACTIVATION_BLOCK
        if form.quantized_x:
            yield from self._quantize(op.x)
            x: Reference = Reference(Slot.QUANTIZED, f"{op.x.name}:int8")
            x_stride: int | Reference = optable.quantized_row_bytes(columns)
        else:
            x, x_stride = self._at(op.x), self._stride(op.x)
        n_groups = -(-n_rows // GROUP_ROWS)
        group_bytes = columns // form.weights * form.packed_bytes
        args: dict[int, int | Reference] = {
            Linear.WEIGHT: Reference(Slot.WEIGHT, op.weight.name),
            Linear.GROUP_BYTES: group_bytes,
            Linear.BLOCKS: n_blocks,
            Linear.COLUMNS: columns,
            Linear.X: x,
            Linear.X_STRIDE: x_stride,
            Linear.OUT: at_out,
            Linear.OUT_STRIDE: self._stride(op.out),
            Linear.WIDTH: n_rows,
            Linear.BIAS: self._vector(op.bias),
            Linear.ADD: int(op.add),
            Linear.OUT_SCALE: float_bits(op.out_scale),
            Linear.DECODER: Reference(Slot.DECODER, ""),
        }
        even = -(-n_groups // (self.n_threads * _CHUNKS_A_THREAD))
        grain_one = max(1, min(even, _CHUNK_WEIGHTS // (GROUP_ROWS * columns)))
        self.plan.scratch_bytes = max(self.plan.scratch_bytes, optable.product_scratch_bytes(columns))
        reads = (x.key if form.quantized_x else op.x.name, *((op.out.name,) if op.add else ()))
        yield Lowered(
            f"{form.kernels}:many", args, self._rows_of(op.x, op.out), tuple(map(str, reads)), (op.out.name,),
            kernel_one=f"{form.kernels}:one", tile=1 << 30, outer=n_groups, grain=_MANY_GRAIN,
            grain_one=grain_one,
        )  # fmt: skip

    def _rope(self, op: p.Rope) -> Lowered:
        rotation = Rotation(tuple(op.inv_freq), op.magnitude)
        self.plan.rotations.add(rotation)
        return self._row_op(
            f"kernels.rope:{op.kind}", (op.x,), op.x,
            self._at(op.x), self._stride(op.x), op.x.width, op.head_dim, op.n_dims // 2,
            Reference(Slot.ROTATION, rotation),
        )  # fmt: skip

    def _store(self, op: p.StoreKV) -> Iterable[Lowered]:
        for kind, x, region in (("k", op.k, self.storage.k[op.layer]), ("v", op.v, self.storage.v[op.layer])):
            if region.head_dim % _LANES:
                raise Unsupported(f"heads of {region.head_dim} dimensions are no multiple of {_LANES}")
            yield replace(
                self._row_op(
                    f"kernels.cache:{kind}.{region.type}", (x,), x,
                    self._at(x), self._stride(x), region.n_heads, region.head_dim, region.values, max(0, region.scales),
                ),
                writes=(f"cache {op.layer}",),
            )  # fmt: skip

    def _attention(self, op: p.Attention) -> Lowered:
        k, v = self.storage.k[op.layer], self.storage.v[op.layer]
        group = op.n_heads // op.n_kv_heads
        tile = max(1, min(16, _TILE_ROWS // group))
        needed = optable.attention_scratch_bytes(tile, group, op.head_dim, op.value_dim)
        self.plan.scratch_bytes = max(self.plan.scratch_bytes, needed)
        args: dict[int, int | Reference] = {
            Attention.Q: self._at(op.q),
            Attention.Q_STRIDE: self._stride(op.q),
            Attention.OUT: self._at(op.out),
            Attention.OUT_STRIDE: self._stride(op.out),
            Attention.KV_HEADS: op.n_kv_heads,
            Attention.GROUP: group,
            Attention.HEAD_DIM: op.head_dim,
            Attention.VALUE_DIM: op.value_dim,
            Attention.SCALE: float_bits(op.scale),
            Attention.SOFTCAP: float_bits(op.softcap),
            Attention.WINDOW: op.window,
            Attention.CAUSAL: int(op.causal),
            Attention.K_VALUES: k.values,
            Attention.K_SCALES: max(0, k.scales),
            Attention.V_VALUES: v.values,
            Attention.V_SCALES: max(0, v.scales),
        }
        return Lowered(
            f"kernels.attention:{k.type}.{v.type}", args, self._rows_of(op.q, op.out), (op.q.name, f"cache {op.layer}"),
            (op.out.name,), tile=tile, outer=op.n_kv_heads,
        )  # fmt: skip

    def _activate(self, op: p.Activate) -> Lowered:
        up: tuple[int | Reference, int | Reference] = (
            (0, 0) if op.up is None else (self._at(op.up), self._stride(op.up))
        )
        reads = (op.gate,) if op.up is None else (op.gate, op.up)
        return self._row_op(
            f"kernels.rows:{op.kind}", reads, op.out,
            self._at(op.gate), self._stride(op.gate), *up, self._at(op.out), self._stride(op.out), self._width(op.out),
        )  # fmt: skip

    def _add(self, op: p.Add) -> Lowered:
        return self._row_op(
            "kernels.rows:add", (op.a, op.b), op.out,
            self._at(op.a), self._stride(op.a), self._at(op.b), self._stride(op.b),
            self._at(op.out), self._stride(op.out), self._width(op.out), float_bits(op.scale),
        )  # fmt: skip

    def _select(self, op: p.SelectRows) -> Lowered:
        self.plan.selected.add(op.out.name)
        lowered = self._row_op(
            "kernels.rows:select", (op.out,), op.out,
            self._at(op.x), self._stride(op.x), self._at(op.out), self._stride(op.out), self._width(op.out),
        )  # fmt: skip
        return replace(lowered, reads=(op.x.name,))

    def _softcap(self, op: p.Softcap) -> Lowered:
        return self._row_op(
            "kernels.rows:softcap", (op.x,), op.x,
            self._at(op.x), self._stride(op.x), self._width(op.x), float_bits(op.cap), float_bits(op.scale),
        )  # fmt: skip


def _let_follow(ops: list[Lowered]) -> list[Lowered]:
    """Ops that treat every row by itself run one after another on the rows of one claim."""
    grouped = list(ops)
    leader = 0
    for i in range(1, len(ops)):
        joins = ops[leader].rows_alone and ops[i].rows_alone and ops[leader].rows_from == ops[i].rows_from
        if joins and ops[i].kernel != "kernels.rows:select":
            grouped[leader] = replace(grouped[leader], followers=grouped[leader].followers + 1)
        else:
            leader = i
    return grouped


def _let_run_together(ops: list[Lowered]) -> list[Lowered]:
    """Neighbouring products of the same input wait for each other only at the end (q, k, v; gate, up)."""
    grouped = list(ops)
    run = 1
    for i in range(1, len(ops)):
        before, op = ops[i - 1], ops[i]
        independent = (
            Linear.WEIGHT in before.args and Linear.WEIGHT in op.args
            and op.args[Linear.X] == before.args[Linear.X]
            and not set(op.reads) & set(before.writes)
            and op.args[Linear.OUT] != before.args[Linear.OUT]
        )  # fmt: skip
        if independent:
            run += 1
            grouped[i - 1] = replace(grouped[i - 1], awaits=0)
            grouped[i] = replace(grouped[i], awaits=run)
        else:
            run = 1
    return grouped


def _end_of_group(ops: list[Lowered], index: int) -> int:
    """The first op after `index` that does not belong to its group."""
    i = 0
    while i <= index:
        i += 1 + ops[i].followers
    while i < len(ops) and i > 0 and ops[i - 1].awaits == 0:
        i += 1
    return i
