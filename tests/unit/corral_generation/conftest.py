"""The stand-ins of `corral.testing` around the real generation."""

from corral.testing.fixtures import client, doubles, kernel, make_kernel, plugins, settings, tables

__all__ = ["client", "doubles", "kernel", "make_kernel", "plugins", "settings", "tables"]
