"""Frames of a stream."""


def sse(data: bytes, event: str = "") -> bytes:
    """One server-sent event; `data` has no line breaks."""
    return (f"event: {event}\n".encode() if event else b"") + b"data: " + data + b"\n\n"
