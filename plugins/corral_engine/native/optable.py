"""The memory that Python and the compiled code share: the op table, the step's environment, the counters.

All three are int64 arrays; this module names their columns and imports neither Numba nor the kernels.  A float
argument is stored as the bits of a float32.  Addresses are absolute.
"""

import struct
from enum import IntEnum

CACHE_LINE_BYTES = 64


class Op(IntEnum):
    """Columns of a row of the op table.  The first ones are read by the interpreter, `ARGS` on by the kernel."""

    KERNEL = 0  # address of the kernel
    KERNEL_ONE = 1  # address of the kernel that is used when there is one row
    ROWS_FROM = 2  # column of the environment that holds the number of rows, or 0: it is in ROWS
    ROWS = 3
    TILE = 4  # rows a unit of work
    OUTER = 5  # units of work for each tile of rows
    GRAIN = 6  # units claimed at once
    GRAIN_ONE = 7  # the same when there is one row
    FOLLOWERS = 8  # ops after this one that each chunk runs too, on the same rows
    AWAIT = 9  # ops, counted back from this one, that must be complete before the next op starts
    FIRST_ROW = 10
    ARGS = 11


OP_COLUMNS = 32
OP_BYTES = OP_COLUMNS * 8


class Env(IntEnum):
    """Columns of the environment: what one step is about."""

    EPOCH = 0  # number of the step; a thread that finds another number here is late and goes home
    N_OPS = 1
    TOKENS = 2  # T
    SELECTED = 3  # R
    POSITIONS = 4  # address of int32 (T,)
    SEQ_OF = 5  # address of int32 (T,)
    PAGE_TABLE = 6  # address of int32 (S, P)
    PAGES = 7  # P
    OUTPUT_ROWS = 8  # address of int32 (R,)
    STORAGE = 9  # address of the KV pages
    PAGE_BYTES = 10
    YIELD = 11  # address of the C function sched_yield, or 0
    END_OF = 12  # address of int32 (S,): the token after the last one of each sequence


ENV_COLUMNS = 16

# One op's counters: what is claimed (epoch << 24 | chunks), and on a cache line of its own what is done (chunks).
DONE_BYTES = CACHE_LINE_BYTES
COUNTER_BYTES = 2 * CACHE_LINE_BYTES


def float_bits(value: float) -> int:
    """A float32 as the integer that is stored in an op table."""
    return int(struct.unpack("<i", struct.pack("<f", value))[0])


ACTIVATION_BLOCK = 32
SIDE_BYTES = 12


def quantized_row_bytes(width: int) -> int:
    """Bytes of a row of `width` activations (a multiple of 32) as int8, padded to a cache line."""
    return -(-(width + width // ACTIVATION_BLOCK * SIDE_BYTES) // CACHE_LINE_BYTES) * CACHE_LINE_BYTES


class Linear(IntEnum):
    """Columns of a matrix product (see `kernels.product`)."""

    WEIGHT = Op.ARGS  # address of the packed weights, groups of GROUP_ROWS rows
    GROUP_BYTES = Op.ARGS + 1
    BLOCKS = Op.ARGS + 2  # blocks of 32 columns (block formats)
    COLUMNS = Op.ARGS + 3
    X = Op.ARGS + 4  # quantized rows (block formats) or float32 rows
    X_STRIDE = Op.ARGS + 5  # bytes
    OUT = Op.ARGS + 6  # float32 rows
    OUT_STRIDE = Op.ARGS + 7  # bytes
    WIDTH = Op.ARGS + 8  # outputs
    BIAS = Op.ARGS + 9  # address of float32 (WIDTH rounded up to GROUP_ROWS), or 0
    ADD = Op.ARGS + 10  # 1: add to OUT
    OUT_SCALE = Op.ARGS + 11  # float32 bits
    DECODER = Op.ARGS + 12  # address of the function that decodes weights (see `kernels.decoded_product`)


GROUP_ROWS = 8
PANEL_BLOCK_BYTES = 384


class Repack(IntEnum):
    """Columns of the repacking of a tensor."""

    SOURCE = Op.ARGS
    TARGET = Op.ARGS + 1
    ROWS = Op.ARGS + 2
    BLOCKS = Op.ARGS + 3  # blocks a row


PAGE_SIZE = 32  # program.PAGE_SIZE, which kernels cannot import without the model half


class Attention(IntEnum):
    """Columns of attention (see `kernels.attention`)."""

    Q = Op.ARGS
    Q_STRIDE = Op.ARGS + 1
    OUT = Op.ARGS + 2
    OUT_STRIDE = Op.ARGS + 3
    KV_HEADS = Op.ARGS + 4
    GROUP = Op.ARGS + 5  # query heads a kv head
    HEAD_DIM = Op.ARGS + 6
    VALUE_DIM = Op.ARGS + 7
    SCALE = Op.ARGS + 8
    SOFTCAP = Op.ARGS + 9
    WINDOW = Op.ARGS + 10
    CAUSAL = Op.ARGS + 11
    K_VALUES = Op.ARGS + 12  # offsets in a page
    K_SCALES = Op.ARGS + 13
    V_VALUES = Op.ARGS + 14
    V_SCALES = Op.ARGS + 15


SPARE_BYTES = 128  # at the start of a thread's scratch memory, for ragged ends
ROW_STATE_BYTES = 32  # of attention: what is kept of a row of queries
ROW_SCORE_BYTES = 4 * PAGE_SIZE  # the scores, later weights, of one row with one page


def attention_scratch_bytes(tile: int, group: int, head_dim: int, value_dim: int) -> int:
    """Scratch memory of attention with tiles of `tile` tokens and `group` query heads a kv head."""
    rows = tile * group * (ROW_STATE_BYTES + ROW_SCORE_BYTES + 4 * value_dim)
    return SPARE_BYTES + rows + (head_dim + value_dim) * ROW_SCORE_BYTES


DECODED_GROUPS = 4  # groups of rows that are decoded at once


def product_scratch_bytes(columns: int) -> int:
    """Scratch memory of a matrix product: the panel of two groups of rows, or a few groups as float32."""
    return SPARE_BYTES + max(
        2 * columns // ACTIVATION_BLOCK * PANEL_BLOCK_BYTES, DECODED_GROUPS * GROUP_ROWS * 4 * columns
    )
