"""What kind of file it is, from its first 512 bytes: text, a zip archive, or bytes of no known kind.

A part of the rules of https://mimesniff.spec.whatwg.org/
"""

from pathlib import Path

HEAD_BYTES = 512
TEXT, ZIP, BINARY = "text/plain; charset=utf-8", "application/zip", "application/octet-stream"
_MARKS = (
    (b"\xef\xbb\xbf", TEXT),
    (b"\xff\xfe", "text/plain; charset=utf-16le"),
    (b"\xfe\xff", "text/plain; charset=utf-16be"),
)
_MAGICS = (
    (b"PK\x03\x04", ZIP),
    (b"%PDF-", "application/pdf"),
    (b"%!PS-Adobe-", "application/postscript"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"\x1f\x8b\x08", "application/x-gzip"),
    (b"Rar!\x1a\x07", "application/x-rar-compressed"),
    (b"\x00asm", "application/wasm"),
    (b"OggS\x00", "application/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"wOFF", "font/woff"),
    (b"wOF2", "font/woff2"),
)
_NOT_TEXT = frozenset(range(0x20)) - frozenset(b"\t\n\x0c\r\x1b")


def content_type(path: Path) -> str:
    """The media type of a file's beginning.  Raises OSError."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    for magic, kind in (*_MARKS, *_MAGICS):
        if head.startswith(magic):
            return kind
    return BINARY if _NOT_TEXT & frozenset(head) else TEXT


def is_text(path: Path) -> bool:
    """Raises OSError."""
    return content_type(path).startswith("text/")
