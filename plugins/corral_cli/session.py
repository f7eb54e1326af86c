"""What a conversation on the command line is made of: the model, what was said, and how to ask and to show."""

import json
from dataclasses import dataclass, field

from corral import JSON, JSONObject, Think
from corral_cli.client import Client, ServerError
from corral_cli.transfers import pull


@dataclass
class Session:
    """Belongs to one `run`; the interactive prompt changes it.  `messages` are wire objects of `/api/chat`."""

    model: str
    parent_model: str = ""
    capabilities: frozenset[str] = frozenset()
    stored_messages: list[JSONObject] = field(default_factory=list)
    messages: list[JSONObject] = field(default_factory=list)
    system: str = ""
    options: JSONObject = field(default_factory=dict)
    format: str = ""
    think: Think | None = None
    keep_alive: str | None = None
    verbose: bool = False
    word_wrap: bool = True
    hide_thinking: bool = False

    @property
    def takes_files(self) -> bool:
        """Whether paths in a prompt mean files to send along."""
        return bool(self.capabilities & {"vision", "audio"})

    def adopt(self, model: str, shown: JSONObject) -> None:
        """Take over a model from what `/api/show` says; the history belongs to the old one and goes."""
        self.model = model
        self.parent_model = (shown.get("details") or {}).get("parent_model") or ""
        self.capabilities = frozenset(shown.get("capabilities") or ())
        self.stored_messages = list(shown.get("messages") or ())
        self.messages = []

    def request(self, **own: JSON) -> JSONObject:
        """A request's body: what the session says, and `own` fields."""
        body: JSONObject = {"model": self.model, "options": self.options, **own}
        if self.format:
            body["format"] = as_format(self.format)
        if self.think is not None:
            body["think"] = self.think
        if self.keep_alive is not None:
            body["keep_alive"] = self.keep_alive
        return body


def as_format(text: str) -> JSON:
    """`json`, or a JSON schema as it was typed; what is neither goes to the server, which says what is wrong."""
    try:
        return json.loads(text)
    except ValueError:
        return text


async def show_or_pull(client: Client, model: str, *, insecure: bool = False) -> JSONObject:
    """What the model is; a missing one is pulled first."""
    try:
        return await client.show(model)
    except ServerError as err:
        if err.status != 404:
            raise
    await pull(client, model, insecure=insecure)
    return await client.show(model)
