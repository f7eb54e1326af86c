"""What is refused deep inside, told with the field of the request that it is about."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from corral import BadRequest, ContextOverflow
from corral_openai_api.bodies import Body, ChatBody
from corral_openai_api.errors import FieldError
from corral_openai_api.responses.bodies import FORMAT, ResponsesBody

_PROMPTS = ("messages", "input", "prompt")
_SCHEMA = re.compile(
    r"(invalid|unsupported|unknown) JSON schema|JSON schema too large|invalid (\w+ constraint|list of choices)"
    r"|the (\w+ constraint is|constraint takes|required format became)"
)
_OF_TOOL = re.compile(r"tools\[\d*\] \(")  # the message names the tool
_WITHOUT_SCHEMA = ("", "text", "json_object")


@contextmanager
def refusals_name_fields(body: Body) -> Iterator[None]:
    """A BadRequest in here gets its field: the prompt when that is too long, or the one field with such a schema."""
    try:
        yield
    except FieldError:
        raise
    except ContextOverflow as err:
        prompt = next(name for name in _PROMPTS if hasattr(body, name))
        raise FieldError(err.message, prompt, "context_length_exceeded") from err
    except BadRequest as err:
        asked = _with_schemas(body) if _SCHEMA.match(err.message) else []
        asked = ["tools"] if _OF_TOOL.match(err.message) else asked
        if len(asked) != 1:
            raise
        raise FieldError(err.message, asked[0]) from err


def _with_schemas(body: Body) -> list[str]:
    """The fields that say what an answer must match."""
    found = []
    if isinstance(body, ChatBody) and _has_schema(body.response_format.type):
        found.append("response_format")
    if isinstance(body, ResponsesBody) and _has_schema(FORMAT.typed(body.text.get("format") or {}).type):
        found.append("text.format")
    if isinstance(body, ChatBody | ResponsesBody) and body.tools:
        found.append("tools")
    return found


def _has_schema(kind: str) -> bool:
    return kind.strip().lower() not in _WITHOUT_SCHEMA
