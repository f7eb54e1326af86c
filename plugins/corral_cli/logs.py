"""Where the log of a server goes and how much of it: all of it for `serve`, warnings for a server inside a command."""

import sys
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from corral import ConfigError
from corral.kernel import Kernel
from corral.log import LEVELS, configure

_VERBOSE = ("trace", "debug")
_PASSED_ON = {
    "kernels.compiling": "compiling kernels for this processor, once for each new weight type",
    "kernels.compiled": "",
}
_listeners: list[Callable[[str], None]] = []

Event = MutableMapping[str, Any]


def start_log(kernel: Kernel, *, quiet: bool = False) -> None:
    """Write to stderr at the configured level; `quiet` leaves warnings in plain words, unless debugging.

    Raises ConfigError.
    """
    level = kernel.config.kernel.log_level
    if level not in LEVELS:
        raise ConfigError(f"[kernel] log_level = {level!r}: it must be one of {', '.join(LEVELS)}")
    if quiet and level not in _VERBOSE:
        configure("info")
        _speak_plainly()
    else:
        configure(level)


@contextmanager
def listening(tell: Callable[[str], None]) -> Iterator[None]:
    """Call `tell`, from any thread, with what a quiet server in this process is busy with; empty once it is done."""
    _listeners.append(tell)
    try:
        yield
    finally:
        _listeners.remove(tell)


def _speak_plainly() -> None:
    """One line a warning for whoever typed the command; `sys.stderr` is looked up late, for a spinner replaces it."""
    import structlog

    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.format_exc_info, _pass_on, _sentence],
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )


def _pass_on(logger: object, method: str, event: Event) -> Event:
    from structlog import DropEvent

    if (text := _PASSED_ON.get(event["event"])) is not None:
        for tell in tuple(_listeners):
            tell(text)
    if LEVELS.get(event["level"], LEVELS["error"]) < LEVELS["warning"]:
        raise DropEvent
    return event


def _sentence(logger: object, method: str, event: Event) -> str:
    """An event's own `message`; else its name and its fields.  A traceback follows."""
    lead, name = event.pop("level").capitalize(), event.pop("event")
    trace = event.pop("exception", "")
    text = event.get("message") or ", ".join([f"{name}", *(f"{key}: {value}" for key, value in event.items())])
    return f"{lead}: {text}" + (f"\n{trace}" if trace else "")
