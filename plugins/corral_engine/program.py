"""A model's forward pass as data: a list of operations over named activation buffers.

An architecture is compiled once, at load, into a `Program`; every step runs the same program over the rows (tokens)
of that step's `Batch`.  Two executors run it: `reference` (plain numpy, float32, the definition of what is right) and
`native` (the SIMD kernels).  Activations are float32 buffers of shape (T, width), T tokens of the step, which may
belong to different sequences.  Weights are named tensors of the file, still in their storage type.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Buffer:
    """A float32 activation buffer of shape (T, width).  Column ranges of one buffer are named by `view`."""

    name: str
    width: int
    start: int = 0
    stride: int = 0  # row length of the underlying buffer; 0 when this is the whole buffer

    def view(self, start: int, width: int) -> "Buffer":
        """Columns `start … start + width` of this buffer."""
        return Buffer(self.name, width, self.start + start, self.stride or self.width)


@dataclass(frozen=True, slots=True)
class Weight:
    """A tensor of the file: `name`, storage `type` ("Q4_1", "F32" …), shape (rows, columns) or (columns,)."""

    name: str
    type: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Embed:
    """out[t] = table[token_ids[t]] * scale.  With `by` "position" the row is positions[t]; "zero" always row 0.

    `add` adds to `out` instead of writing it (position and token-type embeddings of encoders).
    """

    table: Weight
    out: Buffer
    scale: float = 1.0
    by: Literal["token", "position", "zero"] = "token"
    add: bool = False


@dataclass(frozen=True, slots=True)
class Norm:
    """out = norm(x) * weight + bias over the last `group` columns (0: the whole width; head_dim: per head).

    kind "rms": x * rsqrt(mean(x²) + eps); "layer": (x − mean) * rsqrt(var + eps).  `weight` None means 1.
    """

    kind: Literal["rms", "layer"]
    x: Buffer
    out: Buffer
    weight: Weight | None
    eps: float
    bias: Weight | None = None
    group: int = 0


@dataclass(frozen=True, slots=True)
class Linear:
    """out[t] = W x[t] + bias (+ scale · B (A x[t]) for each adapter of the token's sequence that targets `weight`).

    `add` accumulates into `out` (a residual); `out_scale` multiplies the product first.
    """

    weight: Weight
    x: Buffer
    out: Buffer
    bias: Weight | None = None
    add: bool = False
    out_scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Rope:
    """Rotate the first `n_dims` of each head of x in place.  Pair i turns by positions[t] * inv_freq[i].

    kind "norm" pairs (2i, 2i+1), "neox" pairs (i, i + n_dims/2).  cos and sin are multiplied by `magnitude`.
    `inv_freq` is float64 of length n_dims/2 with every scaling already applied.
    """

    kind: Literal["norm", "neox"]
    x: Buffer
    head_dim: int
    n_dims: int
    inv_freq: tuple[float, ...]
    magnitude: float = 1.0


@dataclass(frozen=True, slots=True)
class StoreKV:
    """Write k (T, K·D) and v (T, K·D_v) into the KV cache of `layer` at each token's slot."""

    layer: int
    k: Buffer
    v: Buffer
    n_kv_heads: int


@dataclass(frozen=True, slots=True)
class Attention:
    """out[t, h] = softmax(scale · q[t, h] · Kᵀ + mask) V over the sequence's cached positions.

    Query head h uses kv head h // (n_heads / n_kv_heads).  `causal`: keys at positions ≤ positions[t].  `window` n >
    0 also masks positions[t] − p ≥ n.  `softcap` c > 0: c · tanh(score / c) before the mask.  A row with no key gives
    zeros.  Not causal: all tokens of the sequence that are in this step.
    """

    layer: int
    q: Buffer
    out: Buffer
    n_heads: int
    n_kv_heads: int
    head_dim: int
    value_dim: int
    scale: float
    causal: bool = True
    window: int = 0
    softcap: float = 0.0


@dataclass(frozen=True, slots=True)
class Activate:
    """out = act(gate) * up, or act(gate) when `up` is None.  "gelu" is the tanh form, "gelu_erf" the exact one."""

    kind: Literal["silu", "gelu", "gelu_erf", "relu", "quick_gelu"]
    gate: Buffer
    up: Buffer | None
    out: Buffer


@dataclass(frozen=True, slots=True)
class Add:
    """out = a + b * scale."""

    a: Buffer
    b: Buffer
    out: Buffer
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class SelectRows:
    """out = x[batch.output_rows]: from here on only the rows whose logits (or states) are wanted."""

    x: Buffer
    out: Buffer


@dataclass(frozen=True, slots=True)
class Softcap:
    """x = cap · tanh(x / cap) in place (cap 0: nothing), then x * scale."""

    x: Buffer
    cap: float
    scale: float = 1.0


Op = Embed | Norm | Linear | Rope | StoreKV | Attention | Activate | Add | SelectRows | Softcap


@dataclass(frozen=True, slots=True)
class CacheLayout:
    """KV cache geometry of one layer: heads and dimensions of K and V."""

    n_kv_heads: int
    head_dim: int
    value_dim: int


@dataclass(frozen=True, slots=True)
class Program:
    """Operations in order.  `output` holds the result, one row an entry of `Batch.output_rows`:

    logits (R, V) for a decoder, hidden states (R, E) for an encoder or an embedding run (`hidden`: the buffer after the
    final norm).
    """

    ops: tuple[Op, ...]
    output: Buffer
    hidden: Buffer
    cache: tuple[CacheLayout, ...]
    vocab_size: int
    hidden_size: int
    causal: bool = True


@dataclass(slots=True)
class Batch:
    """The rows of one step.  T tokens, S sequences, P pages a sequence at most.

    Tokens of one sequence are contiguous and in order of position.  `page_table[s]` lists the KV pages of sequence s;
    position p of it lies in page `page_table[s, p // PAGE_SIZE]` at `p % PAGE_SIZE`.  Cached positions of sequence s
    at the time of attention are 0 … the position of its last token in this step.
    """

    token_ids: Int32  # (T,)
    positions: Int32  # (T,)
    seq_of: Int32  # (T,) index into page_table
    page_table: Int32  # (S, P), -1 where unused
    output_rows: Int32  # (R,)
    adapters: Sequence["AdapterSet"] = field(default_factory=tuple)  # one entry a sequence, or empty


@dataclass(frozen=True, slots=True)
class LoraPair:
    """A (r, in) and B (out, r) as float32; `scale` is complete (user scale · alpha / r)."""

    a: Float32
    b: Float32
    scale: float


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class AdapterSet:
    """The adapters of one sequence: for a weight name, the pairs whose products are added in order."""

    pairs: dict[str, tuple[LoraPair, ...]]


PAGE_SIZE = 32
"""Tokens a KV page.  Attention sums page by page, so results do not depend on how a prompt was chunked."""


Tensors = Mapping[str, NDArray[np.uint8]]
"""The bytes of each weight the program names, as they lie in the file: one-dimensional views, not copied."""


class Executor(Protocol):
    """Runs one program on one model.  Made as `Executor(program, tensors, storage, n_threads)`.

    `storage` is a `kv_storage.KVStorage`; the executor alone reads and writes its pages.  `run` is called from one
    thread at a time.  A row's result depends on its own sequence only: not on the other rows of the batch, not on how
    a prompt was chunked, not on the number of threads.
    """

    def run(self, batch: Batch, *, hidden: bool = False) -> Float32:
        """Returns `program.output` (R, V), or with `hidden` `program.hidden` (R, E) without computing what follows it.

        The array is valid until the next call.  R may be 0 (a prompt chunk whose logits nobody wants).
        """
        ...

    def close(self) -> None:
        """Give back memory and threads.  `run` is not called again."""
        ...
