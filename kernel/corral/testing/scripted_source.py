"""A place to pull from and push to that only tells what the script says."""

from collections.abc import AsyncGenerator

from corral import CorralError, ModelNotFound, ModelRef, Progress, Store


class ScriptedSource:
    """`steps` are told one by one; then `error` is raised, if there is one.  `closed` counts the ends of all kinds.  It
    stands in for the source "registry"."""

    name = "registry"

    def __init__(self) -> None:
        self.steps = [Progress(status="pulling manifest")]
        self.error: CorralError | None = ModelNotFound("pull model manifest: file does not exist")
        self.asked: list[tuple[str, bool]] = []
        self.closed = 0

    async def pull(self, ref: ModelRef, store: Store, *, insecure: bool = False) -> AsyncGenerator[Progress, None]:
        """The script."""
        self.asked.append((ref.name, insecure))
        try:
            for step in self.steps:
                yield step
            if self.error is not None:
                raise self.error
        finally:
            self.closed += 1

    def push(self, ref: ModelRef, store: Store, *, insecure: bool = False) -> AsyncGenerator[Progress, None]:
        """The same script."""
        return self.pull(ref, store, insecure=insecure)
