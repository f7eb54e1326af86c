"""Answers made of messages with headers (gpt-oss's harmony, Glimmer): the header says what the text is."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from corral import JSONObject, Piece, Tool, ToolCall
from corral_templates.output.notations import invoke_tags
from corral_templates.output.objects import decode_object
from corral_templates.output.sections import Call
from corral_templates.output.stream import earliest, held_back

MESSAGE = "<|message|>"
_HARMONY_ENDS = ("<|end|>", "<|call|>", "<|return|>")
_GLIMMER_ENDS = ("<|eom|>", "<|eot|>")
_RECIPIENT = re.compile(r"\bto=([^\s<]+)")
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")
RESERVED = ("self", "user")  # recipients in Glimmer's answers that are no tools
_ROLES = ("assistant", "user", "system", "developer", "tool")
_HEADER_WORDS = re.compile(  # all that a header may say
    rf"<\|\w+\|>|\bto=[^\s<]+|\b(?:{'|'.join(_ROLES)}|analysis|commentary|final|json|code)(?=[\s<]|$)"
)
_NOT_IDENTIFIER = re.compile(r"[ .\-]")
_HEADER_STARTS = ("<|", "to=")
_HEADER_TAGS = ("<|start|>", "<|channel|>")
_MAX_HEADER_CHARS = 2000


class Kind(NamedTuple):
    """What a message's text is: "content", "thinking" or "call" (then `recipient` says of what)."""

    name: str
    recipient: str = ""


def identifier(name: str) -> str:
    """A tool's name as harmony writes it."""
    return _NOT_IDENTIFIER.sub("_", name)


def harmony_kind(header: str) -> Kind:
    """analysis is thinking, `to=functions.N` a call, the rest (final, commentary) content."""
    recipient = _RECIPIENT.search(header)
    if recipient and recipient[1] not in _ROLES:
        return Kind("call", recipient[1].removeprefix("functions."))
    channel = _CHANNEL.search(header)
    return Kind("thinking" if channel and channel[1] == "analysis" else "content")


def glimmer_kind(header: str) -> Kind:
    """`to=self` is thinking, `to=user` content, any other recipient a call."""
    recipient = _RECIPIENT.search(header)
    if recipient is None or recipient[1] == "user":
        return Kind("content")
    return Kind("thinking") if recipient[1] == "self" else Kind("call", recipient[1])


class Channels:
    """The parser of such answers.  A call that cannot be read, or of no declared tool, is content, header and all."""

    def __init__(
        self,
        tools: Sequence[Tool],
        kind_of: Callable[[str], Kind],
        ends: Sequence[str],
        content_header: str,
        prompt: str,
        thinking_span: tuple[str, str, str],
    ) -> None:
        """`content_header` ends in the header of the messages that are content; `thinking_span`: see `OutputParser`."""
        self.answer_after = "" if tools else content_header + MESSAGE  # with tools a grammar describes all messages
        self.thinking_opens = ""  # every message has a header, and only that of content is followed by the answer
        self.thinking_span: tuple[str, str, str] | None = thinking_span
        self.tags: tuple[str, ...] = (*ends, MESSAGE, "<|start|>", "<|channel|>", "<|constrain|>")
        self._tools = {identifier(tool.name): tool for tool in tools} | {tool.name: tool for tool in tools}
        self._named = {tool.name for tool in tools}
        self._kind_of, self._ends = kind_of, tuple(ends)
        self._held = ""
        self._header = ""
        self._body: list[str] = []  # of a call
        self._kind: Kind | None = None  # None: reading a header
        self._count = 0
        tail = prompt[prompt.rfind("<|start|>") :] if "<|start|>" in prompt else ""
        if MESSAGE in tail and not any(end in tail for end in self._ends):
            self._kind = kind_of(tail.split(MESSAGE)[0])  # the prompt has begun the message: a prefill
            self.answer_after = "" if self._kind.name == "content" else self.answer_after
            self.thinking_span = ("", *thinking_span[1:]) if self._kind.name == "thinking" else thinking_span

    def push(self, text: str) -> Iterable[Piece]:
        """Thinking and content at once, a call when its message ends."""
        self._held += text
        pieces: list[Piece] = []
        while self._step(pieces):
            pass
        return pieces

    def finish(self) -> Iterable[Piece]:
        """What was held back; the last message ends here even without a tag."""
        pieces: list[Piece] = []
        if self._kind is None:
            is_mere = self._held.lstrip().startswith(_HEADER_TAGS) and not _RECIPIENT.search(self._held)
            if unread(self._held) if is_mere else self._held.strip():
                pieces.append(Piece(text=self._held))  # a mere header that never got its message says nothing
        else:
            self._say(self._kind, self._held, pieces)
            self._end(pieces)
        self._held = ""
        return pieces

    def _step(self, pieces: list[Piece]) -> bool:
        if self._kind is None:
            return self._read_header(pieces)
        found = earliest(self._held, self._ends)
        at = found[0] if found else len(self._held) - held_back(self._held, self._ends)
        self._say(self._kind, self._held[:at], pieces)
        self._held = self._held[at:]
        if found is None:
            return False
        self._held = self._held[len(found[1]) :]
        self._end(pieces)
        self._kind = None
        return bool(self._held)

    def _read_header(self, pieces: list[Piece]) -> bool:
        start = self._held.lstrip()
        at = self._held.find(MESSAGE)
        too_long = (len(self._held) - len(MESSAGE) if at < 0 else at) > _MAX_HEADER_CHARS
        if too_long or not any(start.startswith(tag) or tag.startswith(start) for tag in _HEADER_STARTS):
            self._header, self._kind = "", Kind("content")  # no header: plain text
        elif at >= 0:
            header, self._held = self._held[:at], self._held[at + len(MESSAGE) :]
            self._header, self._kind = header + MESSAGE, self._kind_of(header)
            if (words := unread(header)) and self._kind.name != "call":
                pieces.append(Piece(text=words))
        return self._kind is not None

    def _say(self, kind: Kind, text: str, pieces: list[Piece]) -> None:
        if not text:
            return
        if kind.name == "call":
            self._body.append(text)
        else:
            pieces.append(Piece(thinking=text) if kind.name == "thinking" else Piece(text=text))

    def _end(self, pieces: list[Piece]) -> None:
        """The end of a message: a call is read now."""
        if self._kind is None or self._kind.name != "call":
            return
        body, self._body = "".join(self._body), []
        calls = self._calls(self._kind.recipient, body)
        words = unread(self._header) if calls else self._header + body
        if words:
            pieces.append(Piece(text=words))
        for call in calls:
            if call.beside:
                pieces.append(Piece(text=call.beside))
            numbered = ToolCall(name=call.name, arguments=call.arguments, index=self._count)
            pieces.append(Piece(tool_calls=(numbered,)))
            self._count += 1

    def _calls(self, recipient: str, body: str) -> Sequence[Call]:
        """The calls of a message, none when it is no call of a declared tool."""
        tool = self._tools.get(recipient) or self._tools.get(identifier(recipient))
        if tool is None:
            return ()
        arguments: JSONObject | None = decode_object(body) if body.strip() else {}
        if arguments is not None:
            return (Call(tool.name, arguments),)
        calls = invoke_tags(body, self._tools) or ()
        return calls if all(call.name in self._named for call in calls) else ()


def unread(header: str) -> str:
    """What a header says beyond roles, channels and recipients: a model's words all the same."""
    rest = _HEADER_WORDS.sub(" ", header).strip()
    return rest if re.search(r"\w", rest) else ""


def harmony(tools: Sequence[Tool], prompt: str) -> Channels:
    """The parser of gpt-oss.  Format: https://cookbook.openai.com/articles/openai-harmony.

    Thinking that is ended for it goes on in the channel of calls, where there are tools: it may call, or speak.
    """
    after = f"<|end|><|start|>assistant<|channel|>{'commentary' if tools else f'final{MESSAGE}'}"
    span = f"<|channel|>analysis{MESSAGE}", "<|end|>", after
    return Channels(tools, harmony_kind, _HARMONY_ENDS, "<|channel|>final", prompt, span)


def glimmer(tools: Sequence[Tool], prompt: str) -> Channels:
    """The parser of Glimmer.  Where there are tools, thinking that is ended for it goes on to any recipient."""
    after = f"<|eom|><|start|>assistant to={'' if tools else f'user{MESSAGE}'}"
    span = f" to=self{MESSAGE}", "<|eom|>", after
    return Channels(tools, glimmer_kind, _GLIMMER_ENDS, " to=user", prompt, span)
