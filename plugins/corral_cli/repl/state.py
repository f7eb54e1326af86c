"""What every command of the prompt works on."""

from dataclasses import dataclass

from corral_cli.client import Client
from corral_cli.repl.history import FileHistory
from corral_cli.session import Session


@dataclass
class State:
    """One conversation at the prompt."""

    client: Client
    session: Session
    history: FileHistory

    async def load(self) -> None:
        """Load the session's model into memory (or renew its stay).  Raises ServerError."""
        await self.client.post("/api/generate", self.session.request(prompt="", stream=False))
