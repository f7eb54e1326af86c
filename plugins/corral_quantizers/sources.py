"""Reading weights of any storage type, also of those this plugin does not write."""

import math
from typing import TYPE_CHECKING

from corral import FormatError, TensorInfo, Unsupported
from corral_quantizers.formats import FORMATS, Format

if TYPE_CHECKING:
    from corral_quantizers.backend import Backend
    from corral_quantizers.reference import Codes, Floats


class TensorReader:
    """Decodes any stretch of one tensor's weights.  `data` are its bytes as they lie in the file."""

    def __init__(self, info: TensorInfo, data: memoryview, backend: "Backend") -> None:
        import numpy as np

        self._kind = FORMATS.get(info.type) or _foreign(info)
        self._backend = backend
        n_weights = math.prod(info.shape)
        if data.nbytes != self._kind.size_bytes(n_weights) or n_weights % self._kind.block_size:
            raise FormatError(f"tensor {info.name!r}: {data.nbytes} bytes are not {info.type} of shape {info.shape}")
        self._blocks: Codes = np.frombuffer(data, dtype=np.uint8).reshape(-1, self._kind.type_size)

    def read(self, start: int, stop: int) -> "Floats":
        """float32 (stop - start,); both are multiples of every block size, or the tensor's end."""
        from corral_quantizers.codecs import CODECS, decode

        size = self._kind.block_size
        blocks = self._blocks[start // size : stop // size]
        if self._kind.name in CODECS:
            return decode(self._kind.name, blocks, self._backend).reshape(-1)
        return _decode_foreign(self._kind.name, blocks)


def _foreign(info: TensorInfo) -> Format:
    """The geometry of a type that only the `gguf` package decodes (the code-book types, IQ1 to IQ3, and others)."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
    from gguf.quants import _type_traits as decodable

    kind = getattr(GGMLQuantizationType, info.type, None)
    if kind not in decodable:
        raise Unsupported(f"tensor {info.name!r}: weights of type {info.type} cannot be read")
    block_size, type_size = GGML_QUANT_SIZES[kind]
    return Format(info.type, block_size, type_size, 0.0, int(kind))


def _decode_foreign(name: str, blocks: "Codes") -> "Floats":
    import numpy as np
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize

    decoded: Floats = dequantize(blocks, GGMLQuantizationType[name])
    return np.ascontiguousarray(decoded, dtype=np.float32).reshape(-1)
