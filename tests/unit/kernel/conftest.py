"""The stand-ins of `corral.testing` for the kernel's own tests."""

from corral.testing.fixtures import client, doubles, kernel, make_kernel, plugins, settings, tables

__all__ = ["client", "doubles", "kernel", "make_kernel", "plugins", "settings", "tables"]
