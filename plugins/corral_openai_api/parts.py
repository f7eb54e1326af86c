"""The parts a message is made of: texts, and images as data URLs."""

import base64
import binascii
import re
from collections.abc import Sequence

from corral import JSON, Value
from corral_openai_api.errors import FieldError

_DATA_URL = re.compile(r"data:(?:image/(?:jpeg|jpg|png|webp))?;base64,")
_GO_TYPES = {bool: "bool", int: "float64", float: "float64", dict: "map[string]interface {}", list: "[]interface {}"}
_AUDIO_FORMATS = ("wav", "mp3")


def go_type(value: JSON) -> str:
    """The type of a JSON value in the words of the reference's errors."""
    return _GO_TYPES.get(type(value), "<nil>")


class Content(Value, frozen=True):
    """What the parts of one message say together.  `audio` is for models that hear."""

    text: str = ""
    images: tuple[bytes, ...] = ()
    audio: bool = False


def content(value: JSON, param: str) -> Content:
    """A text, a list of parts, or nothing.  Raises FieldError."""
    if value is None or isinstance(value, str):
        return Content(text=value or "")
    if not isinstance(value, list):
        raise FieldError(f"invalid message content type: {go_type(value)}", param)
    return joined([_part(part, f"{param}[{index}]") for index, part in enumerate(value)])


def joined(parts: Sequence[Content]) -> Content:
    """All parts as one."""
    return Content(
        text="".join(part.text for part in parts),
        images=tuple(image for part in parts for image in part.images),
        audio=any(part.audio for part in parts),
    )


def _part(part: JSON, param: str) -> Content:
    if not isinstance(part, dict):
        raise FieldError("invalid message format", param)
    kind = part.get("type")
    if kind in ("text", "refusal") and isinstance(part.get(kind), str):
        return Content(text=part[kind])
    if kind == "image_url":
        url = part.get("image_url")
        return Content(images=(image(url.get("url") if isinstance(url, dict) else url, param),))
    if kind == "input_audio":
        _check_audio(part.get("input_audio"), param)
        return Content(audio=True)
    raise FieldError("invalid message format", param)


def image(url: JSON, param: str) -> bytes:
    """The image in a data URL.  Raises FieldError, for http URLs too: nothing is fetched on a client's behalf."""
    if isinstance(url, str) and url.startswith(("http://", "https://")):
        text = "image URLs are not currently supported, please use base64 encoded data instead"
        raise FieldError(text, param, "unsupported_image_url")
    head = _DATA_URL.match(url) if isinstance(url, str) else None
    if head is None:
        raise FieldError("invalid image input", param)
    try:
        return base64.b64decode(url[head.end() :], validate=True)
    except (binascii.Error, ValueError) as err:
        raise FieldError("invalid image input", param) from err


def _check_audio(audio: JSON, param: str) -> None:
    """Raises FieldError for what is no audio."""
    if not isinstance(audio, dict) or audio.get("format", "wav") not in _AUDIO_FORMATS:
        raise FieldError("invalid input_audio format", param)
    data = audio.get("data")
    if not isinstance(data, str) or not data:
        raise FieldError("invalid input_audio format: missing data", param)
    try:
        base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as err:
        raise FieldError(f"invalid input_audio base64 data: {err}", param) from err
