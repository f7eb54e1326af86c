"""Where the log of a server goes and how much of it: all of it for `serve`, warnings for a server inside a command."""

from corral import ConfigError
from corral.kernel import Kernel
from corral.log import LEVELS, configure

_VERBOSE = ("trace", "debug")


def start_log(kernel: Kernel, *, quiet: bool = False) -> None:
    """Write to stderr at the configured level; `quiet` leaves warnings, unless debugging.  Raises ConfigError."""
    level = kernel.config.kernel.log_level
    if level not in LEVELS:
        raise ConfigError(f"[kernel] log_level = {level!r}: it must be one of {', '.join(LEVELS)}")
    configure("warning" if quiet and level not in _VERBOSE else level)
