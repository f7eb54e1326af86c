"""How calls are written in answers made of messages with headers: as grammars, beside their reader in `channels`."""

from collections.abc import Callable, Sequence

from corral import Tool, Unsupported
from corral_templates.output.channels import MESSAGE, RESERVED, identifier
from corral_templates.output.writing import Grammar, Headed, Inside, Notation, either, last, quote, tag

_RECIPIENT = " to=functions."
_CHANNEL = f"{tag('<|channel|>')} {quote('commentary')}"
_KIND = f'(" "? {tag("<|constrain|>")} "json" | " json")?'
_STARTS = f"{tag('<|start|>')} {quote('assistant')}"


def _fits_a_header(name: str) -> bool:
    return not any(char.isspace() or char == "<" for char in name)


def _unwritable(tool: Tool) -> Unsupported:
    return Unsupported(f"calls of the tool {tool.name!r} cannot be enforced in this model's notation of calls")


def _names(tool: Tool, tools: Sequence[Tool]) -> list[str]:
    """How a tool may be called as a recipient: as an identifier if that is no other's, and as it is.

    Raises Unsupported for a name that is neither.
    """
    short = identifier(tool.name)
    shared = any(identifier(each.name) == short for each in tools if each is not tool)
    names = [] if shared and short != tool.name else [short]
    if tool.name not in names and _fits_a_header(tool.name):
        names.append(tool.name)
    if not names or not _fits_a_header(names[0]):
        raise _unwritable(tool)
    return names


def _harmony(grammar: Grammar, tools: Sequence[Tool], header: Callable[[str], str]) -> str:
    """`header` writes what stands before the kind of content, of a tool by its names."""
    calls = []
    for tool in tools:
        names = either([quote(name) for name in _names(tool, tools)])
        calls.append(grammar.rule("call", f"{header(names)} {_KIND} {tag(MESSAGE)} {grammar.arguments(tool)}"))
    return either(calls)


def harmony_inside(grammar: Grammar, tools: Sequence[Tool]) -> str:
    """`NAME…<|message|>{json}`, after the words that begin a recipient."""
    return _harmony(grammar, tools, lambda names: f"{names} ({_CHANNEL})?")


def harmony_calls(grammar: Grammar, tools: Sequence[Tool]) -> str:
    """One call: the recipient stands in the header's role or, as the model mostly writes it, in its channel."""

    def header(names: str) -> str:
        recipient = f"{quote(_RECIPIENT)} {names}"
        return f"({_CHANNEL} {recipient} | {recipient} {_CHANNEL})"

    return f"{_harmony(grammar, tools, header)} {last('<|call|>')}"


HARMONY = Notation(
    opening=_RECIPIENT,
    inside=harmony_inside,
    headed=Headed(
        thinks=f"{tag('<|channel|>')} {quote('analysis')} {tag(MESSAGE)}",
        ends="<|end|>",
        starts=_STARTS,
        says=f"{tag('<|channel|>')} {quote('final')} {tag(MESSAGE)}",
        closes=last("<|return|>"),
        calls=harmony_calls,
    ),
)


def glimmer(section: Inside, opening: str) -> Notation:
    """Calls whose recipient is the tool; `section` follows the tag `opening` in the message."""
    return Notation(
        opening=opening,
        inside=section,
        headed=Headed(
            thinks=f"{quote(' to=self')} {tag(MESSAGE)}",
            ends="<|eom|>",
            starts=_STARTS,
            says=f"{quote(' to=user')} {tag(MESSAGE)}",
            closes=last("<|eot|>"),
            calls=_glimmer_calls(section, opening),
        ),
    )


def _glimmer_calls(section: Inside, opening: str) -> Inside:
    def calls(grammar: Grammar, tools: Sequence[Tool]) -> str:
        messages = []
        for tool in tools:
            if tool.name in RESERVED or not _fits_a_header(tool.name):
                raise _unwritable(tool)
            head = f"{quote(f' to={tool.name}')} {tag(MESSAGE)} {tag(opening)}"
            messages.append(grammar.rule("message", f"{head} ({section(grammar, [tool])})"))
        more = "" if grammar.once else f" ({tag('<|eom|>')} {_STARTS} {either(messages)})*"
        return f"{either(messages)}{more} {last('<|eot|>')}"

    return calls
