"""Which storage types have kernels, and how many bytes their blocks take: all that is known without importing Numba."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Format:
    """`weights` and `file_bytes` of a block as it lies in the file; `packed_bytes` of the blocks of eight rows,
    repacked.

    `quantized_x` says that the kernels read activations as int8.
    """

    module: str
    weights: int
    file_bytes: int
    packed_bytes: int
    quantized_x: bool = True


FORMATS: dict[str, Format] = {
    "F32": Format("f32", 1, 4, 32, quantized_x=False),
    "F16": Format("f16", 1, 2, 16, quantized_x=False),
    "BF16": Format("bf16", 1, 2, 16, quantized_x=False),
    "Q4_0": Format("q4_0", 32, 18, 144),
    "Q4_1": Format("q4_1", 32, 20, 160),
    "Q8_0": Format("q8_0", 32, 34, 272),
}
