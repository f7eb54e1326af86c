"""Reading a message from the terminal: keys, several lines, history, an external editor."""

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import Output

from corral_cli.repl.history import FileHistory

QUOTES = '"""'
_PLACEHOLDER = FormattedText([("fg:ansibrightblack", "Send a message (/? for help)")])
_SET_SYSTEM = "/set system"


def quoted(text: str) -> str | None:
    """What stands after the quotes that open a text of several lines, or None when nothing is opened."""
    body = text.lstrip()
    if body.startswith(_SET_SYSTEM):
        body = body.removeprefix(_SET_SYSTEM).lstrip()
    return body.removeprefix(QUOTES) if body.startswith(QUOTES) else None


def is_open(text: str) -> bool:
    """Whether `text` opened quotes that no line has closed yet."""
    rest = quoted(text)
    return rest is not None and not rest.endswith(QUOTES)


def editor(environ: Mapping[str, str]) -> str:
    """The command of the user's editor."""
    names = ("CORRAL_EDITOR", "OLLAMA_EDITOR", "VISUAL", "EDITOR")
    return next((environ[name] for name in names if environ.get(name)), "vi")


class Prompt:
    """The prompt `>>> `.  `input` and `output` are given by tests."""

    def __init__(self, history: FileHistory, *, input: Input | None = None, output: Output | None = None) -> None:
        self.history = history
        self._session: PromptSession[str] = PromptSession(
            ">>> ",
            multiline=True,
            prompt_continuation="... ",
            placeholder=_PLACEHOLDER,
            history=history,
            key_bindings=_bindings(),
            enable_suspend=True,
            input=input,
            output=output,
        )

    async def read(self) -> str:
        """One message.  Raises EOFError (Ctrl+D on an empty line) and KeyboardInterrupt (Ctrl+C)."""
        return await self._session.prompt_async()


def _bindings() -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("enter")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if is_open(buffer.text):
            buffer.newline(copy_margin=False)
        else:
            buffer.validate_and_handle()

    @bindings.add("c-j")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=False)

    @bindings.add("tab")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text(" " * 8)

    @bindings.add("c-g")
    async def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        command = editor(os.environ)
        edited = await run_in_terminal(lambda: edit(command, buffer.text))
        if edited.strip():
            buffer.text = edited
            buffer.cursor_position = len(edited)

    return bindings


def edit(command: str, text: str) -> str:
    """`text` as the editor left it, "" when there is no such editor."""
    words = shlex.split(command)
    if not words or shutil.which(words[0]) is None:
        print(f'error: editor "{command}" not found, set OLLAMA_EDITOR to the path of your preferred editor')
        return ""
    with tempfile.TemporaryDirectory(prefix="corral-") as folder:
        file = Path(folder) / "prompt.txt"
        file.write_text(text, encoding="utf-8")
        subprocess.run([*words, str(file)], check=False)
        return file.read_text(encoding="utf-8").rstrip("\n")
