"""Files named in a prompt: images and sound for models that take them."""

import base64
import re
import sys
from pathlib import Path

from corral import CorralError, Value

MAX_BYTES = 100 * 2**20
_PATH = re.compile(r"(?:[a-zA-Z]:)?(?:\./|/|\\)[\S\\ ]+?\.(?i:jpg|jpeg|png|webp|wav)\b")
_ESCAPED = re.compile(r"\\([ ()\[\]{}$&;'\\*?~])")


class Prompt(Value, frozen=True):
    """A prompt without the names of its attachments; `images` are base64, sound among them."""

    text: str
    images: tuple[str, ...] = ()


def paths_in(text: str) -> list[str]:
    """What looks like a path to an image or a sound, as it stands in the text."""
    return _PATH.findall(text)


def extract(text: str) -> Prompt:
    """Take the files that exist out of `text`.  Announces each on stderr; raises CorralError for what is none."""
    images = []
    for found in paths_in(text):
        path = _ESCAPED.sub(r"\1", found)
        if not Path(path).is_file():
            continue
        kind, data = _read(Path(path))
        print(f"Added {kind} '{path}'", file=sys.stderr)
        text = text.replace(f"'{path}'", "").replace(f"'{found}'", "").replace(found, "")
        images.append(base64.b64encode(data).decode())
    return Prompt(text=text.strip(), images=tuple(images))


def _read(path: Path) -> tuple[str, bytes]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CorralError("file size exceeds maximum limit (100MB)")
        data = path.read_bytes()
    except OSError as err:
        raise CorralError(f"{path}: {(err.strerror or str(err)).lower()}") from err
    return kind_of(data), data


def kind_of(data: bytes) -> str:
    """ "image" or "audio", by content.  Raises CorralError."""
    if data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP"):
        return "image"
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "audio"
    printable = not any(byte < 9 for byte in data[:512])
    raise CorralError(f"invalid file type: {'text/plain; charset=utf-8' if printable else 'application/octet-stream'}")
