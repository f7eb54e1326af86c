"""The conversation: read a message or command, answer it, until the user leaves."""

from corral import CorralError, JSONObject
from corral_cli.answers import Printer, answer, waiting
from corral_cli.client import Client
from corral_cli.interrupt import unless_interrupted
from corral_cli.repl.commands import Leave, run_command
from corral_cli.repl.history import default_history
from corral_cli.repl.prompt import QUOTES, Prompt, quoted
from corral_cli.repl.state import State
from corral_cli.run import attached
from corral_cli.session import Session

_THINK_ERRORS = ("does not support thinking", "invalid think value")


async def converse(client: Client, session: Session, prompt: Prompt | None = None) -> None:
    """Talk until `/bye` or Ctrl+D.  Raises CorralError for what ends the conversation early."""
    prompt = prompt or Prompt(default_history())
    state = State(client, session, prompt.history)
    with waiting(client.busy):
        await state.load()
    for message in session.stored_messages:
        if message["role"] == "user":
            print(f">>> {message['content']}")
        elif message["role"] == "assistant":
            print(f"{message['content']}\n")
    while True:
        try:
            line = await prompt.read()
            text = message_text(line)
            if text is None and await run_command(state, line.strip()):
                continue
        except KeyboardInterrupt:
            print("Use Ctrl + d or /bye to exit.")
            continue
        except (EOFError, Leave):
            return
        asked = line if text is None else text
        if asked.strip():
            await _turn(state, asked)


def message_text(line: str) -> str | None:
    """The text between `\"\"\"`, as typed, or None for a line without them."""
    body = quoted(line) if line.lstrip().startswith(QUOTES) else None
    return None if body is None else body.removesuffix(QUOTES)


async def _turn(state: State, text: str) -> None:
    """Ask, print and remember.  Ctrl+C ends the answer, which is then not remembered."""
    session = state.session
    message: JSONObject = {"role": "user", "content": text}
    if session.takes_files:
        found = attached(text)
        message |= {"content": found["prompt"], "images": found["images"]}
    session.messages.append(message)
    printed: list[Printer] = []

    async def work() -> None:
        printed.append(await answer(state.client, "/api/chat", session.request(messages=session.messages), session))

    try:
        if not await unless_interrupted(work()):
            print()
            return
    except CorralError as err:
        if "upstream error" in err.message:
            print("The model could not answer this message: please try again.\n")
        elif any(text in err.message for text in _THINK_ERRORS):
            session.messages.remove(message)
            print(f"error: {err.message}")
        else:
            raise
        return
    for printer in printed:
        session.messages.append(_remembered(printer))


def _remembered(printer: Printer) -> JSONObject:
    said: JSONObject = {"role": "assistant", "content": printer.text}
    if printer.thinking:
        said["thinking"] = printer.thinking
    if printer.tool_calls:
        said["tool_calls"] = printer.tool_calls
    return said
