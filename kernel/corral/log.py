"""Structured logs on stderr: for people on a terminal, JSON lines elsewhere."""

import logging
import sys
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:  # importing it costs 0.1 s, which a command that logs nothing need not pay
    import structlog

LEVELS = {"trace": 5, "debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(level: str = "info") -> None:
    """Set up structlog for the process.  `level` is a key of LEVELS; anything else raises KeyError."""
    import structlog
    from structlog import contextvars, processors

    render = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else processors.JSONRenderer()
    stamp = processors.TimeStamper(fmt="iso", utc=True)
    structlog.configure(
        processors=[contextvars.merge_contextvars, processors.add_log_level, stamp, processors.format_exc_info, render],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    for chatty in ("aiohttp", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.ERROR)


def get_logger(name: str) -> "structlog.stdlib.BoundLogger":
    """A logger whose lines carry `component=name`: call it where a line is written, not where a provider is made."""
    import structlog

    return cast("structlog.stdlib.BoundLogger", structlog.get_logger(component=name))
