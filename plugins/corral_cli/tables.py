"""Borderless tables: every cell padded to its column's widest, four blanks after it."""

import textwrap
from collections.abc import Iterable, Sequence
from unicodedata import combining, east_asian_width

GAP = "    "


def width(text: str) -> int:
    """Terminal columns: two for wide characters, none for combining marks."""
    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def _pad(text: str, columns: int) -> str:
    return text + " " * (columns - width(text))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The lists of models.  After the header's last cell stands one blank only, as the reference prints it."""
    body = list(rows)
    widths = [max(map(width, column)) for column in zip(header, *body, strict=True)]
    lines = [[_pad(cell, columns) + GAP for cell, columns in zip(row, widths, strict=True)] for row in (header, *body)]
    lines[0][-1] = _pad(header[-1], widths[-1]) + " "
    return "".join("".join(line) + "\n" for line in lines)


def section(title: str, rows: Sequence[Sequence[str]], *, wrap: int = 30) -> str:
    """A titled block of `show`: rows of cells, cells wrapped at `wrap` columns, an empty line at the end."""
    lines: list[list[str]] = []
    n_columns = max(map(len, rows), default=0)
    for row in rows:
        cells = [_wrapped(cell, wrap) for cell in row]
        height = max([1, *map(len, cells)])
        padded = [[*cell, *[""] * (height - len(cell))] for cell in cells] + [[""] * height] * (n_columns - len(row))
        lines += [list(line) for line in zip(*padded, strict=True)]
    widths = [max(map(width, column)) for column in zip(*lines, strict=True)]
    body = ["".join(_pad(cell, columns) + GAP for cell, columns in zip(line, widths, strict=True)) for line in lines]
    return f"  {title}\n" + "".join(f"{GAP}{line}\n" for line in body) + "\n"


def _wrapped(cell: str, columns: int) -> list[str]:
    return textwrap.wrap(" ".join(cell.split()), columns, break_long_words=False, break_on_hyphens=False)
