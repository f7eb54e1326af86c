"""SIMD kernels compiled by Numba, and the executor that runs programs on them."""
