"""The prompt's own commands: everything that begins with `/`."""

import sys
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime

from corral import JSONObject
from corral_cli.answers import waiting
from corral_cli.attachments import paths_in
from corral_cli.client import ServerError
from corral_cli.models import list_table
from corral_cli.repl import pages
from corral_cli.repl.settings import set_
from corral_cli.repl.showing import show
from corral_cli.repl.state import State


class Leave(Exception):
    """`/bye`."""


async def run_command(state: State, line: str) -> bool:
    """Run `line` if it is a command; False when it is a message for the model.  Raises Leave, CorralError."""
    for prefix, command in _COMMANDS:
        if line.startswith(prefix):
            await command(state, line)
            return True
    if not line.startswith("/"):
        return False
    first = line.split()[0]
    if state.session.takes_files and any(path.startswith(first) for path in paths_in(line)):
        return False
    print(f"Unknown command '{first}'. Type /? for help")
    return True


async def _list(state: State, line: str) -> None:
    prefix = [*line.split(), ""][1]
    print(list_table(await state.client.get("/api/tags"), prefix, datetime.now(UTC)), end="")


async def _load(state: State, line: str) -> None:
    words = line.split()
    if len(words) != 2:
        print("Usage:\n  /load <modelname>")
        return
    model, session = words[1], state.session
    print(f"Loading model '{model}'")
    try:
        shown = await state.client.show(model)
    except ServerError as err:
        if err.status != 404:
            raise
        print(f"Couldn't find model '{model}'")
        return
    session.adopt(model, shown)
    if session.think in (None, True):
        session.think = True if "thinking" in session.capabilities else None
    if session.system:
        session.messages.append({"role": "system", "content": session.system})
    with waiting(state.client.busy):
        await state.load()


async def _save(state: State, line: str) -> None:
    words = line.split()
    if len(words) != 2:
        print("Usage:\n  /save <modelname>")
        return
    session, name = state.session, words[1]
    body: JSONObject = {"model": name, "from": session.parent_model or session.model}
    if session.system:
        body["system"] = session.system
    if session.options:
        body["parameters"] = session.options
    if messages := [*session.stored_messages, *filter(_is_not_said(session.system), session.messages)]:
        body["messages"] = messages
    try:
        async with aclosing(state.client.stream("/api/create", body)) as statuses:
            async for _ in statuses:
                pass
    except ServerError as err:
        if "invalid model name" not in err.message:
            raise
        print(f"error: The model name '{name}' is invalid")
        return
    print(f"Created new model '{name}'")


def _is_not_said(system: str) -> Callable[[JSONObject], bool]:
    """Whether a message is another than the session's system message, which the model says as its own."""
    said = {"role": "system", "content": system}
    return lambda message: message != said


async def _clear(state: State, line: str) -> None:
    system = state.session.system
    state.session.messages = [{"role": "system", "content": system}] if system else []
    print("Cleared session context")


async def _help(state: State, line: str) -> None:
    match line.split()[1:]:
        case ["set" | "/set", *_]:
            page = pages.SET
        case ["show" | "/show", *_]:
            page = pages.SHOW
        case ["shortcuts" | "shortcut", *_]:
            page = pages.SHORTCUTS
        case _:
            page = pages.COMMANDS + (pages.FILES if state.session.takes_files else "")
    print(page, file=sys.stderr)


async def _leave(state: State, line: str) -> None:
    raise Leave


_COMMANDS: tuple[tuple[str, Callable[[State, str], Awaitable[None]]], ...] = (
    ("/list", _list),
    ("/load", _load),
    ("/save", _save),
    ("/clear", _clear),
    ("/set", set_),
    ("/show", show),
    ("/help", _help),
    ("/?", _help),
    ("/exit", _leave),
    ("/bye", _leave),
)
