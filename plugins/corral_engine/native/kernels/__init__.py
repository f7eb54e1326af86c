"""Kernels that are not about a weight format."""
