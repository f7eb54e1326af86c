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

    on_a_terminal = sys.stderr.isatty()
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if on_a_terminal else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.getLogger("aiohttp").setLevel(logging.ERROR)
    logging.getLogger("asyncio").setLevel(logging.ERROR)


def get_logger(name: str) -> "structlog.stdlib.BoundLogger":
    """A logger whose lines carry `component=name`.  Events are constant `noun.past_verb`, facts are keys."""
    import structlog

    return cast("structlog.stdlib.BoundLogger", structlog.get_logger(component=name))
