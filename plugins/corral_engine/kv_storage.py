"""The bytes of the KV cache: pages of PAGE_SIZE tokens, each holding every layer's K and V.

One row of `data` is a whole page, so a page is copied with one memcpy and memory is touched page by page: the array may
be as large as the budget, the operating system gives memory only to pages that were written.

Inside a page, for each layer: the K region, then the V region, each aligned to 64 bytes, with

    f32, f16   values (n_kv_heads, PAGE_SIZE, D)
    q8_0       values int8 (n_kv_heads, PAGE_SIZE, D), then scales float16 (n_kv_heads, PAGE_SIZE, D / 32)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from corral_engine.program import PAGE_SIZE, CacheLayout

CacheType = Literal["f32", "f16", "q8_0"]
_VALUES: dict[CacheType, Any] = {"f32": np.float32, "f16": np.float16, "q8_0": np.int8}
_ALIGNMENT = 64
Q8_BLOCK = 32


@dataclass(frozen=True, slots=True)
class Region:
    """Where one layer's K (or V) lies inside a page.  Offsets in bytes from the start of the page.

    `scales` is the offset of the q8_0 scales, -1 for the other types.
    """

    type: CacheType
    values: int
    scales: int
    n_heads: int
    head_dim: int


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGNMENT) * _ALIGNMENT


def plan(
    layouts: Sequence[CacheLayout], type_k: CacheType, type_v: CacheType
) -> tuple[list[Region], list[Region], int]:
    """Regions of K and of V, one a layer, and the bytes of a page.

    A head whose dimension is no multiple of 32 cannot be stored as q8_0 and is kept as f16.
    """
    offset = 0
    regions: tuple[list[Region], list[Region]] = ([], [])
    for layout in layouts:
        for kind, dim, out in ((type_k, layout.head_dim, regions[0]), (type_v, layout.value_dim, regions[1])):
            actual: CacheType = "f16" if kind == "q8_0" and dim % Q8_BLOCK else kind
            count = layout.n_kv_heads * PAGE_SIZE * dim
            values = offset
            offset += count * np.dtype(_VALUES[actual]).itemsize
            scales = -1
            if actual == "q8_0":
                scales = offset
                offset += count // Q8_BLOCK * 2
            out.append(Region(actual, values, scales, layout.n_kv_heads, dim))
            offset = _aligned(offset)
    return regions[0], regions[1], offset


class KVStorage:
    """`data` uint8 (n_pages, page_bytes); `k[layer]` and `v[layer]` say where things lie inside a page."""

    def __init__(self, layouts: Sequence[CacheLayout], n_pages: int, type_k: CacheType, type_v: CacheType) -> None:
        self.layouts = tuple(layouts)
        self.k, self.v, self.page_bytes = plan(layouts, type_k, type_v)
        self.n_pages = n_pages
        self.data: NDArray[np.uint8] = np.zeros((n_pages, self.page_bytes), dtype=np.uint8)

    def values(self, region: Region) -> NDArray[Any]:
        """A view of the values of all pages: (n_pages, n_heads, PAGE_SIZE, D)."""
        shape = (region.n_heads, PAGE_SIZE, region.head_dim)
        return self._view(region.values, np.dtype(_VALUES[region.type]), shape)

    def scales(self, region: Region) -> NDArray[Any]:
        """A view of the q8_0 scales of all pages: (n_pages, n_heads, PAGE_SIZE, D / 32) float16."""
        shape = (region.n_heads, PAGE_SIZE, region.head_dim // Q8_BLOCK)
        return self._view(region.scales, np.dtype(np.float16), shape)

    def _view(self, offset: int, dtype: "np.dtype[Any]", shape: tuple[int, ...]) -> NDArray[Any]:
        n_bytes = int(np.prod(shape)) * dtype.itemsize
        return self.data[:, offset : offset + n_bytes].view(dtype).reshape(self.n_pages, *shape)

    def copy_page(self, source: int, target: int) -> None:
        """Copy all layers of one page."""
        self.data[target] = self.data[source]
