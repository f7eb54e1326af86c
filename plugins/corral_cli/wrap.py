"""Word wrap of text that arrives in pieces: a word that reaches the edge moves to the next line."""

from corral_cli.tables import width

_MARGIN = 5
_LONG_WORD_MARGIN = 10


class WordWrap:
    """Keeps the column and the word being written.  Under ten columns nothing is wrapped."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._column = 0
        self._word = ""

    def push(self, text: str) -> str:
        """What to write for `text`; where a word moves down, with the escapes that take it back from this line."""
        if self._columns < _LONG_WORD_MARGIN:
            return text
        return "".join(map(self._write, text))

    def _write(self, char: str) -> str:
        if char in "\r\n":
            self._column, self._word = 0, ""
            return char
        columns = width(char)
        blank = char in " \t"
        if self._column + columns <= self._columns - _MARGIN:
            self._column += columns
            self._word = "" if blank or columns > 1 else self._word + char
            return char
        moved = width(self._word)
        if blank:
            self._column, self._word = 0, ""
            return "\n"
        if moved > self._columns - _LONG_WORD_MARGIN:
            self._column, self._word = columns, char
            return f"\n{char}"
        back = f"\x1b[{moved}D\x1b[K" if moved else ""
        word = self._word + char
        self._column, self._word = moved + columns, "" if columns > 1 else word
        return f"{back}\n{word}"
