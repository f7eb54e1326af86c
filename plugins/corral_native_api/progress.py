"""Long operations: their statuses as lines, or the last one alone."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiohttp import web
from msgspec import UNSET, UnsetType

from corral import Progress
from corral.server import stream
from corral_native_api.answers import NDJSON, error_line
from corral_native_api.chunks import Wire, line, reply

Steps = AsyncGenerator[Progress, None]


class ProgressWire(Wire, frozen=True):
    """One status.  Byte counts are left out while they are 0."""

    status: str
    digest: str | UnsetType = UNSET
    total: int | UnsetType = UNSET
    completed: int | UnsetType = UNSET


def _wire(step: Progress) -> ProgressWire:
    return ProgressWire(
        status=step.status,
        digest=step.digest or UNSET,
        total=step.total_bytes or UNSET,
        completed=step.completed_bytes or UNSET,
    )


async def report(request: web.Request, steps: Steps, *, streaming: bool) -> web.StreamResponse:
    """Tell each step as it happens; a client that leaves closes `steps`, which ends the work."""
    if streaming:
        return await stream(request, _lines(steps), content_type=NDJSON, late_error=error_line)
    last = Progress(status="success")
    async with aclosing(steps):
        async for step in steps:
            last = step
    return reply(_wire(last))


async def _lines(steps: Steps) -> AsyncGenerator[bytes, None]:
    async with aclosing(steps):
        async for step in steps:
            yield line(_wire(step))
