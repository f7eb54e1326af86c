"""A quantizer as the kernel sees it: rows in, blocks out, whatever the storage type."""

import math
from functools import cached_property
from typing import TYPE_CHECKING

from corral import FormatError
from corral_quantizers.formats import Format
from corral_quantizers.threads import available_cores, over_chunks

if TYPE_CHECKING:
    from corral_quantizers.backend import Backend
    from corral_quantizers.reference import Codes, Floats


class Machine:
    """How to compute: on how many threads, compiled or not.  Numba is imported at the first use."""

    def __init__(self, n_threads: int = 0, *, compiled: bool = True) -> None:
        self.n_threads = n_threads or available_cores()
        self._compiled = compiled

    @cached_property
    def backend(self) -> "Backend":
        from corral_quantizers.backend import load_backend

        return load_backend(compiled=self._compiled)


class BlockQuantizer:
    """Encodes and decodes one storage type."""

    def __init__(self, kind: Format, machine: Machine) -> None:
        self.name = kind.name
        self.block_size = kind.block_size
        self.type_size = kind.type_size
        self.max_error = kind.max_error
        self._machine = machine

    def quantize(self, rows: "Floats") -> "Codes":
        """float32 (…, C) -> uint8 (…, C // block_size * type_size).

        Raises FormatError when C is no multiple of the block size or a weight cannot be stored.
        """
        import numpy as np

        from corral_quantizers.codecs import encode

        rows = np.ascontiguousarray(rows, dtype=np.float32)
        n_columns = rows.shape[-1] if rows.ndim else 0
        if n_columns == 0 or n_columns % self.block_size:
            raise FormatError(f"rows of {n_columns} weights cannot be {self.name}: not a multiple of {self.block_size}")
        blocks = rows.reshape(-1, self.block_size)
        out = np.empty((len(blocks), self.type_size), dtype=np.uint8)

        def work(start: int, stop: int) -> None:
            part = slice(start // self.block_size, stop // self.block_size)
            out[part] = encode(self.name, blocks[part], self._machine.backend)

        over_chunks(work, rows.size, self._machine.n_threads)
        return out.reshape(*rows.shape[:-1], n_columns // self.block_size * self.type_size)

    def dequantize(self, blocks: "Codes", shape: tuple[int, ...]) -> "Floats":
        """uint8 blocks, in any arrangement, -> float32 of `shape`.  Raises FormatError when the sizes disagree."""
        import numpy as np

        from corral_quantizers.codecs import decode

        raw = np.ascontiguousarray(blocks).reshape(-1).view(np.uint8)
        n_weights = math.prod(shape)
        if n_weights % self.block_size or raw.size != n_weights // self.block_size * self.type_size:
            raise FormatError(f"{raw.size} bytes are not {self.name} weights of shape {shape}")
        whole = raw.reshape(-1, self.type_size)
        out = np.empty((len(whole), self.block_size), dtype=np.float32)

        def work(start: int, stop: int) -> None:
            part = slice(start // self.block_size, stop // self.block_size)
            out[part] = decode(self.name, whole[part], self._machine.backend)

        over_chunks(work, n_weights, self._machine.n_threads)
        return out.reshape(shape)
