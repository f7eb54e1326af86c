"""The interactive prompt of `corral run`."""
