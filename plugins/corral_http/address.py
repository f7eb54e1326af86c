"""Where a server listens: the setting `host` (`OLLAMA_HOST`) in all the forms that users write."""

DEFAULT_PORT = 11434


def split_host(text: str) -> tuple[str, str, int, str]:
    """`OLLAMA_HOST` in all its forms → (scheme, host, port, path).  An empty host means all interfaces."""
    text = text.strip().strip("\"'").strip()
    scheme, sep, rest = text.partition("://")
    port = {"http": 80, "https": 443}.get(scheme, DEFAULT_PORT) if sep else DEFAULT_PORT
    scheme, rest = (scheme, rest) if sep else ("http", text)
    rest, _, path = rest.partition("/")
    host, explicit = rest, ""
    if rest.startswith("["):
        host, _, tail = rest[1:].partition("]")
        explicit = tail.removeprefix(":")
    elif rest.count(":") == 1:
        host, _, explicit = rest.partition(":")
    if explicit.isascii() and explicit.isdigit() and int(explicit) <= 65535:
        port = int(explicit)
    if not rest:
        host = "127.0.0.1"
    return scheme, host, port, ("/" + path.rstrip("/") if path else "")
