"""The environment chat templates are written for, and the program that renders them under the kernel's limits.

This file is run as a script: it imports Jinja and the standard library only.  A template is a stranger's program; it
may use what the sandbox allows and as much time, memory and output as the request grants, and when the operating system
ends the process, nothing else ends with it.
"""

import datetime
import json
import signal
import struct
import sys
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import IO, Any

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, LoopControlExtension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

if sys.platform != "win32":
    import resource

KEPT = 16  # compiled templates
_LENGTH = struct.Struct(">Q")


class GenerationTag(Extension):
    """`{% generation %}…{% endgeneration %}` marks assistant text for training; here it means nothing."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """The body, as if the tags were not there."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class Arguments(dict[str, Any]):
    """A call's arguments: an object that prints as JSON, for templates that take it for a string."""

    def __str__(self) -> str:
        return json.dumps(self, ensure_ascii=False, separators=(",", ":"))

    def __add__(self, other: str) -> str:
        return str(self) + other

    def __radd__(self, other: str) -> str:
        return other + str(self)


class Sandbox(ImmutableSandboxedEnvironment):
    """Refuses Python's insides aloud, and lets templates grow lists: theirs live no longer than one rendering."""

    def is_safe_attribute(self, obj: object, attr: str, value: object) -> bool:
        """As Jinja's immutable sandbox, but `append` and `pop` of lists, which published templates use, are allowed."""
        return (isinstance(obj, list) and attr in ("append", "pop")) or super().is_safe_attribute(obj, attr, value)

    def unsafe_undefined(self, obj: object, attribute: str) -> jinja2.Undefined:
        """Raises SecurityError for a private name; a method that changes its object is merely undefined."""
        if attribute.startswith("_"):
            raise SecurityError(f"access to attribute {attribute!r} of {type(obj).__name__!r} is refused")
        return super().unsafe_undefined(obj, attribute)


def environment() -> Sandbox:
    """A sandbox with the usual chat-template extras."""
    made = Sandbox(
        trim_blocks=True,
        lstrip_blocks=True,
        optimized=False,
        extensions=[LoopControlExtension, GenerationTag],
        cache_size=0,
    )
    made.filters["tojson"] = _tojson
    made.filters["from_json"] = _from_json
    made.globals.pop("lipsum", None)
    made.globals["raise_exception"] = _raise_exception
    made.globals["strftime_now"] = _strftime_now
    return made


def _tojson(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as templates expect it: not escaped for HTML, keys in their order, generators as lists."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys, default=list
    )


def _from_json(value: object) -> object:
    """What a JSON text says; anything else as it is."""
    return json.loads(value) if isinstance(value, str) else value


def _raise_exception(message: object) -> None:
    raise jinja2.TemplateError(str(message))


def _strftime_now(template: str) -> str:
    return datetime.datetime.now().astimezone().strftime(template)


# --- the program ---------------------------------------------------------------------------------------------------


def write_frame(stream: IO[bytes], value: object) -> None:
    """One message: its length in bytes (8, big-endian), then JSON."""
    body = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    stream.write(_LENGTH.pack(len(body)))
    stream.write(body)
    stream.flush()


def read_frame(stream: IO[bytes]) -> Any:
    """One message, None at the end of the stream."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    size = _LENGTH.unpack(head)[0]
    body = stream.read(size)
    return json.loads(body.decode("utf-8", "surrogatepass")) if len(body) == size else None


def limit(cpu_s: float, memory_bytes: int) -> None:
    """From now on this process may use that much; past it, the operating system ends it or refuses memory."""
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_PROF, cpu_s)  # its signal's default action is the end
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def render(template: jinja2.Template, variables: Mapping[str, Any], output_chars: int) -> str:
    """The prompt.  Raises OverflowError when it grows past `output_chars`."""
    parts: list[str] = []
    left = output_chars
    for part in template.generate(**variables):
        left -= len(part)
        if left < 0:
            raise OverflowError("the rendered prompt is too large")
        parts.append(part)
    return "".join(parts)


def with_arguments(messages: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages, their calls' arguments made to print as JSON."""
    result = list(messages)
    for message in result:
        for call in message.get("tool_calls") or ():
            call["function"]["arguments"] = Arguments(call["function"]["arguments"])
    return result


def serve(requests: IO[bytes], replies: IO[bytes]) -> None:
    """Render until the requests end.

    A reply is `{"text": …}` or `{"error": …}`; with `"last": true` the process ends after it.
    """
    env = environment()
    compiled: OrderedDict[str, jinja2.Template] = OrderedDict()
    while (request := read_frame(requests)) is not None:
        limit(request["cpu_s"], request["memory_bytes"])
        source, variables = request["source"], request["variables"]
        try:
            template = compiled.get(source) or env.from_string(source)
            compiled[source] = template
            compiled.move_to_end(source)
            variables["messages"] = with_arguments(variables["messages"])
            reply = {"text": render(template, variables, request["output_chars"])}
        except RecursionError:
            reply = {"error": "the template calls itself without end"}
        except MemoryError:
            write_frame(replies, {"error": "the template needs too much memory", "last": True})
            return  # the next process starts with none of it
        except Exception as err:  # whatever a stranger's program raises is its answer
            reply = {"error": str(err) or type(err).__name__}
        write_frame(replies, reply)
        if sys.platform != "win32":
            signal.setitimer(signal.ITIMER_PROF, 0)
        if len(compiled) > KEPT:
            compiled.popitem(last=False)


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
