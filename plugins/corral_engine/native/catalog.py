"""Which storage types have kernels, and how many bytes their blocks take: all that is known without importing Numba."""

from dataclasses import dataclass

from corral_engine.native.optable import GROUP_ROWS


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

    @property
    def kernels(self) -> str:
        """The module that builds the kernels, as kernels' names begin."""
        return self.module if "." in self.module else f"formats.{self.module}"


def _blocks(module: str, weights: int, file_bytes: int) -> Format:
    """Blocks whose repacking keeps every bit."""
    return Format(module, weights, file_bytes, GROUP_ROWS * file_bytes)


FORMATS: dict[str, Format] = {
    "F32": Format("f32", 1, 4, 32, quantized_x=False),
    "F16": Format("f16", 1, 2, 16, quantized_x=False),
    "BF16": Format("bf16", 1, 2, 16, quantized_x=False),
    "Q4_0": _blocks("q4_0", 32, 18),
    "Q4_1": _blocks("q4_1", 32, 20),
    "Q5_0": _blocks("q5_0", 32, 22),
    "Q5_1": _blocks("q5_1", 32, 24),
    "Q8_0": _blocks("q8_0", 32, 34),
    "Q2_K": _blocks("q2_k", 256, 84),
    "Q3_K": _blocks("q3_k", 256, 110),
    "Q4_K": _blocks("q4_k", 256, 144),
    "Q5_K": _blocks("q5_k", 256, 176),
    "Q6_K": _blocks("q6_k", 256, 210),
    "IQ4_NL": _blocks("iq4_nl", 32, 18),
    "IQ4_XS": _blocks("iq4_xs", 256, 136),
    "MXFP4": _blocks("mxfp4", 32, 17),
}

DECODED = Format("kernels.decoded_product", 1, 4, 32, quantized_x=False)
"""Every other type: rows are decoded to float32 when they are used, a few at a time."""
