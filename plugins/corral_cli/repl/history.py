"""The history of prompts: `~/.ollama/history`, one entry a line, the last hundred."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from prompt_toolkit.history import History

LIMIT = 100


class FileHistory(History):
    """Entries in a private file that is replaced as a whole.  `enabled` False keeps it as it is."""

    def __init__(self, path: Path, *, enabled: bool = True) -> None:
        super().__init__()
        self.enabled = enabled
        self._path = path

    def load_history_strings(self) -> Iterable[str]:
        """The stored lines, newest first; an unreadable file is an empty history."""
        return reversed(self._lines())

    def append_string(self, string: str) -> None:
        """Remember an entry unless it is blank."""
        if string.strip():
            super().append_string(string)

    def store_string(self, string: str) -> None:
        """Write the last LIMIT lines anew.  A history that cannot be written is no reason to end a conversation."""
        if not self.enabled:
            return
        lines = [*self._lines(), *filter(str.strip, string.splitlines())][-LIMIT:]
        temporary = self._path.with_name(self._path.name + ".tmp")
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in lines)
            temporary.replace(self._path)

    def _lines(self) -> list[str]:
        try:
            text = self._path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return []
        return [line for line in text.splitlines() if line.strip()][-LIMIT:]


def default_history() -> FileHistory:
    """The user's own, saved unless the environment says no."""
    disabled = os.environ.get("CORRAL_NOHISTORY") or os.environ.get("OLLAMA_NOHISTORY") or ""
    enabled = disabled.strip() in ("", "0", "f", "F", "FALSE", "false", "False")
    return FileHistory(Path.home() / ".ollama" / "history", enabled=enabled)
