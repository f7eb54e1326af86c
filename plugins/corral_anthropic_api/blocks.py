"""Content blocks one by one: their decoding, and the texts and images inside them."""

import base64
import binascii
from collections.abc import Sequence

import msgspec

from corral import JSON, BadRequest, Message, Unsupported
from corral.log import get_logger
from corral_anthropic_api.bodies import BLOCK, BlockBody, SourceBody

MAX_ITEMS = 10_000  # messages of a request, blocks of a message, tools

DOCUMENTS = ("document", "search_result")

Blocks = tuple[BlockBody, ...]


def decode(content: JSON, where: str) -> Blocks:
    """A text is one block.  Raises BadRequest naming `where` for anything but a text or a list of blocks."""
    if isinstance(content, str):
        return (BlockBody(type="text", text=content),)
    if not isinstance(content, list):
        raise BadRequest(f"json: {where} must be a string or an array of content blocks")
    if len(content) > MAX_ITEMS:
        raise BadRequest(f"{where} has {len(content)} blocks; at most {MAX_ITEMS} are served")
    return tuple(BLOCK.typed(item, f"{where}[{index}]") for index, item in enumerate(content))


def system(content: JSON) -> tuple[Message, ...]:
    """The leading message, if there is one: a text, or the texts of text blocks without anything between them."""
    if content is None:
        return ()
    text = "".join(block.text for block in decode(content, "system") if block.type == "text")
    return (Message(role="system", content=text),) if text else ()


def image(block: BlockBody, complaint: str = "invalid image source") -> bytes:
    """The bytes of an image block.  Raises BadRequest: no source, not base64, or bad base64."""
    source = block.source
    if not isinstance(source, SourceBody):
        raise BadRequest(complaint)
    if source.type != "base64":
        raise BadRequest(f"invalid image source type: {source.type}. Only base64 images are supported.")
    try:
        return base64.b64decode(source.data.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError) as err:
        raise BadRequest(f"invalid base64 image data: {err}") from err


def words(block: BlockBody) -> str:
    """What a block says to the model in words: nothing, unless it is a text or a document."""
    return block.text if block.type == "text" else document(block) if block.type in DOCUMENTS else ""


def result(block: BlockBody) -> tuple[str, tuple[bytes, ...]]:
    """What a tool gave back: its text and its images.  A failure says so in the text."""
    inner = decode(block.content, "tool_result.content") if block.content is not None else ()
    text = "".join(words(part) for part in inner)
    pictures = tuple(image(part, "invalid tool_result image source") for part in inner if part.type == "image")
    note_ignored([part.type for part in inner if part.type not in ("text", "image", *DOCUMENTS)])
    return f"Error: {text}" if block.is_error else text, pictures


def found(block: BlockBody) -> str:
    """Results of a web search, a line each; those of other tools that ran elsewhere as they are."""
    if block.type != "web_search_tool_result":
        return msgspec.json.encode(block.content).decode()
    if isinstance(block.content, dict):
        return f"web_search_tool_result_error: {block.content.get('error_code', 'unavailable')}"
    rows = [row for row in block.content or () if isinstance(row, dict)]
    return "\n".join(f"- {row.get('title', '')}: {row.get('url', '')}" for row in rows)


def document(block: BlockBody) -> str:
    """A document or a search result as text for the model.  Raises BadRequest for what is not text, such as a PDF."""
    source = block.source
    if block.citations.get("enabled") if isinstance(block.citations, dict) else block.citations:
        raise Unsupported(f"citations of a {block.type} is not supported: no model here cites; leave it out")
    if block.type == "search_result":
        text = _texts(block.content, "search_result.content")
    elif not isinstance(source, SourceBody):
        raise BadRequest("invalid document source")
    elif source.type == "content":
        text = _texts(source.content, "document.source.content")
    elif source.type == "text":
        text = source.data
    else:
        kind = source.media_type or source.type
        raise BadRequest(f"invalid document source type: {kind}. Only text documents are supported.")
    labels = (("title", block.title), ("source", source if isinstance(source, str) else ""), ("context", block.context))
    head = "".join(f' {name}="{value}"' for name, value in labels if value)
    return f"<{block.type}{head}>\n{text}\n</{block.type}>\n"


def _texts(content: JSON, where: str) -> str:
    inner = decode(content, where)
    note_ignored([part.type for part in inner if part.type != "text"])
    return "\n".join(part.text for part in inner if part.type == "text")


def note_ignored(types: Sequence[str]) -> None:
    """Blocks that no model here can read are left out, and the log says so."""
    if types:
        get_logger("anthropic_api").warning("blocks.ignored", types=sorted({kind[:40] for kind in types})[:20])
