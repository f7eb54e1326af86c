"""Where the log of a server goes and how much of it: all of it for `serve`, warnings for a server inside a command."""

import sys
from collections.abc import MutableMapping
from functools import partial
from typing import Any

from corral import ConfigError
from corral.kernel import Kernel
from corral.log import LEVELS, configure
from corral_cli.busy import Busy

_VERBOSE = ("trace", "debug")
_PASSED_ON = {
    "kernels.compiling": "compiling kernels for this processor, once for each new weight type",
    "kernels.compiled": "",
}

Event = MutableMapping[str, Any]


def start_log(kernel: Kernel, *, quiet: Busy | None = None) -> None:
    """Write to stderr at the configured level.

    For a `quiet` server inside a command warnings remain, in plain words, unless debugging; what it is busy with is
    said there.  Raises ConfigError.
    """
    level = kernel.config.kernel.log_level
    if level not in LEVELS:
        raise ConfigError(f"[kernel] log_level = {level!r}: it must be one of {', '.join(LEVELS)}")
    if quiet is not None and level not in _VERBOSE:
        configure("info")
        _speak_plainly(quiet)
    else:
        configure(level)


def _speak_plainly(busy: Busy) -> None:
    """One line a warning for whoever typed the command; `sys.stderr` is looked up late, for a spinner replaces it."""
    import structlog

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            partial(_pass_on, busy),
            _sentence,
        ],
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )


def _pass_on(busy: Busy, logger: object, method: str, event: Event) -> Event:
    from structlog import DropEvent

    if (text := _PASSED_ON.get(event["event"])) is not None:
        busy.say(text)
    if LEVELS.get(event["level"], LEVELS["error"]) < LEVELS["warning"]:
        raise DropEvent
    return event


def _sentence(logger: object, method: str, event: Event) -> str:
    """An event's own `message`; else its name and its fields.  A traceback follows."""
    lead, name = event.pop("level").capitalize(), event.pop("event")
    trace = event.pop("exception", "")
    text = event.get("message") or ", ".join([f"{name}", *(f"{key}: {value}" for key, value in event.items())])
    return f"{lead}: {text}" + (f"\n{trace}" if trace else "")
