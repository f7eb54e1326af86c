"""Loads that are given up: the long parts of one look now and then whether anybody still waits for it."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from corral import CorralError

Checkpoint = Callable[[], None]  # called between the steps of something long; raises to end it


def carry_on() -> None:
    """The checkpoint of what nobody can give up."""


def checkpoint(abandoned: threading.Event) -> Checkpoint:
    """One that ends the work once the event is set."""

    def check() -> None:
        if abandoned.is_set():
            raise CorralError("the load was cancelled")

    return check


async def settled(work: "asyncio.Future[Any]") -> None:
    """Wait until `work` has ended, however often this task is cancelled meanwhile; its result is not looked at."""
    while not work.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([work])
