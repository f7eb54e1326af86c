"""Answers as they stream in: thinking, text, tool calls, then statistics."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from typing import TextIO

from corral import JSONObject
from corral_cli.busy import Busy
from corral_cli.client import Client, ServerError
from corral_cli.session import Session
from corral_cli.statistics import summary
from corral_cli.wrap import WordWrap

_GREY, _BOLD, _PLAIN = "\x1b[90m", "\x1b[1m", "\x1b[0m"


class Printer:
    """Writes one answer.  `is_terminal` allows colours and, with `word_wrap`, moving words to the next line."""

    def __init__(self, out: TextIO, *, is_terminal: bool, word_wrap: bool = False, hide_thinking: bool = False) -> None:
        self.text = ""
        self.thinking = ""
        self.tool_calls: list[JSONObject] = []
        self._out = out
        self._colours = is_terminal
        self._hide_thinking = hide_thinking
        self._is_thinking = False
        self._wrap = WordWrap(_columns(out) if is_terminal and word_wrap else 0)

    def show(self, part: JSONObject) -> None:
        """A piece of the answer: its `thinking`, `content` and `tool_calls`."""
        if thinking := part.get("thinking"):
            self.thinking += thinking
            self._show_thinking(thinking)
        if content := part.get("content"):
            self.end_thinking()
            self.text += content
            self._out.write(self._wrap.push(content))
        if calls := part.get("tool_calls"):
            self.end_thinking()
            self.tool_calls += calls
            self._out.writelines(map(_tool_call, calls))
        self._out.flush()

    def _show_thinking(self, text: str) -> None:
        if self._hide_thinking:
            return
        if not self._is_thinking:
            self._is_thinking = True
            title = "Thinking...\n"
            self._out.write(f"{_GREY}{_BOLD}{title}{_PLAIN}{_GREY}" if self._colours else title)
        self._out.write(self._wrap.push(text))

    def end_thinking(self) -> None:
        """Mark the end of thinking, if there was any on the screen."""
        if not self._is_thinking:
            return
        self._is_thinking = False
        title = "...done thinking.\n\n"
        lead = "" if self.thinking.endswith("\n") else "\n"
        self._out.write(f"{lead}{_BOLD}{title}{_PLAIN}" if self._colours else lead + title)
        self._wrap.push("\n")


def _tool_call(call: JSONObject) -> str:
    function = call.get("function") or {}
    arguments = json.dumps(function.get("arguments"), ensure_ascii=False, separators=(",", ":"))
    return f"  Model called a non-existent function '{function.get('name')}()' with arguments: {arguments}\n"


def _columns(out: TextIO) -> int:
    try:
        return os.get_terminal_size(out.fileno()).columns
    except (OSError, ValueError):
        return 0


@contextmanager
def waiting(busy: Busy) -> Iterator[None]:
    """Tell on stderr what takes so long while the block runs: beside a spinner on a terminal, elsewhere in a line."""
    if not sys.stderr.isatty():
        with busy.listening(_told):
            yield
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status, busy.listening(status.update):
        yield


def _told(text: str) -> None:
    if text:
        print(text, file=sys.stderr, flush=True)


async def answer(client: Client, path: str, body: JSONObject, session: Session) -> Printer:
    """Stream one answer to stdout and, when asked for, its statistics to stderr.

    Raises ServerError, also after all of the text that came before the server's end.
    """
    printer = Printer(
        sys.stdout,
        is_terminal=sys.stdout.isatty(),
        word_wrap=session.word_wrap,
        hide_thinking=session.hide_thinking,
    )
    last: JSONObject = {}
    async with aclosing(client.stream(path, body)) as parts:
        with waiting(client.busy):
            first = await anext(parts, None)
        if first is not None:
            printer.show(_part(first))
            last = first
        async for last in parts:
            printer.show(_part(last))
    printer.end_thinking()
    if body.get("prompt") or body.get("messages"):
        print("\n", flush=True)
    if session.verbose:
        print(summary(last), end="", file=sys.stderr, flush=True)
    if last.get("done_reason") == "shutdown":
        raise ServerError("the server was shut down before the answer was complete", 200)
    return printer


def _part(answer: JSONObject) -> JSONObject:
    """The message of a chat's piece; of a completion's the same, so named."""
    return answer.get("message") or {**answer, "content": answer.get("response")}
