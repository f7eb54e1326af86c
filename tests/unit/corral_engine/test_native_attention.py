"""Attention on the native kernels equals plain numpy, token by token, for every grouping of heads."""

import numpy as np
import pytest
from numpy.typing import NDArray

from corral_engine.batching import NO_ADAPTERS, Feed, make_batch
from corral_engine.kv_storage import CacheType, KVStorage
from corral_engine.native.executor import NativeExecutor
from corral_engine.program import (
    Attention,
    Buffer,
    CacheLayout,
    Embed,
    Executor,
    Program,
    SelectRows,
    StoreKV,
    Weight,
)
from corral_engine.reference import ReferenceExecutor

HEAD_DIM, LENGTH = 32, 70  # three pages, the last one ragged


def program(n_heads: int, n_kv_heads: int, window: int) -> Program:
    """Rows of a table are queries, keys and values of a token; what attention makes of them is the output."""
    q_width, kv_width = n_heads * HEAD_DIM, n_kv_heads * HEAD_DIM
    qkv, out = Buffer("qkv", q_width + 2 * kv_width), Buffer("out", q_width)
    selected = Buffer("selected", q_width)
    q, k, v = qkv.view(0, q_width), qkv.view(q_width, kv_width), qkv.view(q_width + kv_width, kv_width)
    ops = (
        Embed(Weight("rows", "F32", (LENGTH, qkv.width)), qkv),
        StoreKV(0, k, v, n_kv_heads),
        Attention(0, q, out, n_heads, n_kv_heads, HEAD_DIM, HEAD_DIM, 0.3, True, window, 0.0),
        SelectRows(out, selected),
    )
    return Program(ops, selected, selected, (CacheLayout(n_kv_heads, HEAD_DIM, HEAD_DIM),), LENGTH, q_width)


def run(executor: Executor, n_prefill: int) -> NDArray[np.float32]:
    """Every token's output: the first ones at once, the others one by one."""
    starts = [0, *range(n_prefill, LENGTH)]
    outputs = []
    for start, end in zip(starts, [*starts[1:], LENGTH], strict=True):
        feed = Feed(range(start, end), start, (2, 0, 1), end - start, NO_ADAPTERS)
        outputs.append(executor.run(make_batch([feed])).copy())
    executor.close()
    return np.concatenate(outputs)


@pytest.mark.parametrize("kind", ["f32", "f16", "q8_0"])
@pytest.mark.parametrize("window", [0, 20])
@pytest.mark.parametrize(("n_heads", "n_kv_heads"), [(1, 1), (4, 4), (4, 2), (6, 1)])
def test_decoding_equals_numpy(n_heads: int, n_kv_heads: int, window: int, kind: CacheType) -> None:
    made = program(n_heads, n_kv_heads, window)
    rows = np.random.default_rng(n_heads).standard_normal((LENGTH, (n_heads + 2 * n_kv_heads) * HEAD_DIM), np.float32)
    tensors = {"rows": rows.view(np.uint8).reshape(-1)}
    kinds = (NativeExecutor, NativeExecutor, ReferenceExecutor)
    one, some, plain = (
        run(executor(made, tensors, KVStorage(made.cache, 3, kind, kind), 2), n_prefill)
        for executor, n_prefill in zip(kinds, (1, 40, 40), strict=True)
    )
    assert np.array_equal(one, some)
    assert np.abs(one - plain).max() < 2e-5
    assert np.ptp(one) > 1
