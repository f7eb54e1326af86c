"""What lowering gives: the rows of an op table whose addresses are still names, and what they refer to."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray

from corral_engine import program as p
from corral_engine.native.optable import Op
from corral_engine.program import Weight


class Slot(Enum):
    """What an address in the op table refers to; resolved by the executor."""

    BUFFER = auto()  # a float32 activation buffer, key: its name
    STRIDE = auto()  # the bytes of a row of that buffer
    QUANTIZED = auto()  # the int8 form of a range of columns, key: its name
    WEIGHT = auto()  # a packed weight, key: its name; the number of a weight that is decoded on use
    DECODER = auto()  # the function that decodes weights on use
    VECTOR = auto()  # a float32 vector (norm weight, bias), key: its name
    ROTATION = auto()  # a table of cosines and sines, key: a `Rotation`


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rope table holds."""

    inv_freq: tuple[float, ...]
    magnitude: float


@dataclass(frozen=True, slots=True)
class Reference:
    """An address to be filled in: the start of a slot plus `offset` bytes."""

    slot: Slot
    key: str | Rotation
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Lowered:
    """One row of the op table.  `reads` and `writes` name buffers; `rows_alone` says each row depends on itself
    only."""

    kernel: str
    args: dict[int, int | Reference]
    rows_from: int
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    kernel_one: str = ""
    tile: int = 1
    outer: int = 1
    grain: int = 1
    grain_one: int = 1
    rows_alone: bool = False
    followers: int = 0
    awaits: int = 1
    source: p.Op | None = None


@dataclass(slots=True)
class Plan:
    """A lowered program.  Widths in columns; `selected` names the buffers that hold one row an output row."""

    ops: list[Lowered] = field(default_factory=list)
    embeds: list[p.Embed] = field(default_factory=list)
    widths: dict[str, int] = field(default_factory=dict)
    quantized: dict[str, int] = field(default_factory=dict)  # width
    selected: set[str] = field(default_factory=set)
    weights: dict[str, Weight] = field(default_factory=dict)
    vectors: dict[str, Weight] = field(default_factory=dict)
    rotations: set[Rotation] = field(default_factory=set)
    scratch_bytes: int = 4096
    n_hidden_ops: int = 0

    @property
    def kernels(self) -> set[str]:
        """Names of every kernel the plan uses."""
        return {name for op in self.ops for name in (op.kernel, op.kernel_one) if name}


def fill(row: NDArray[np.int64], op: Lowered, resolve: Callable[[Reference], int], kernels: dict[str, int]) -> None:
    """Write one row of the op table with every address resolved."""
    row[Op.KERNEL] = kernels[op.kernel]
    row[Op.KERNEL_ONE] = kernels[op.kernel_one or op.kernel]
    row[Op.ROWS_FROM], row[Op.TILE], row[Op.OUTER] = op.rows_from, op.tile, op.outer
    row[Op.GRAIN], row[Op.GRAIN_ONE] = op.grain, op.grain_one
    row[Op.FOLLOWERS], row[Op.AWAIT] = op.followers, op.awaits
    for column, value in op.args.items():
        row[column] = resolve(value) if isinstance(value, Reference) else value
