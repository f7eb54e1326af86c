"""pull and push: statuses on stderr, the address of what was pushed on stdout."""

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from corral_cli.progress import Bars, rows
from corral_cli.transfers import address

from .conftest import FakeServer

DIGEST = "sha256:" + "ab" * 32
PULL = [
    {"status": "pulling manifest"},
    {"status": "pulling abababababab", "digest": DIGEST, "total": 100},
    {"status": "pulling abababababab", "digest": DIGEST, "total": 100, "completed": 50},
    {"status": "pulling abababababab", "digest": DIGEST, "total": 100, "completed": 100},
    {"status": "verifying sha256 digest"},
    {"status": "success"},
]


def test_pull_prints_each_status_once(corral, server: FakeServer, capsys) -> None:
    server.replies["POST /api/pull"] = PULL
    assert corral("pull", "m", "--insecure") == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "pulling manifest\npulling abababababab\nverifying sha256 digest\nsuccess\n"
    assert server.bodies("POST /api/pull") == [{"model": "m", "insecure": True}]


def test_an_error_ends_a_pull(corral, server: FakeServer, capsys) -> None:
    server.replies["POST /api/pull"] = [PULL[0], {"error": "pull model manifest: file does not exist"}]
    assert corral("pull", "m") == 1
    assert capsys.readouterr().err == "pulling manifest\nError: pull model manifest: file does not exist\n"


def test_push_says_where_the_model_is(corral, server: FakeServer, capsys) -> None:
    server.replies["POST /api/push"] = [{"status": "retrieving manifest"}, {"status": "success"}]
    assert corral("push", "localhost:5000/me/m") == 0
    assert capsys.readouterr().out == "\nYou can find your model at:\n\n\tlocalhost:5000/me/m:latest\n"


@pytest.mark.parametrize("text", ["unauthorized: Access Denied", "UNAUTHORIZED"])
def test_push_translates_a_denial(corral, server: FakeServer, capsys, text: str) -> None:
    server.replies["POST /api/push"] = [{"error": text}]
    assert corral("push", "m") == 1
    assert capsys.readouterr().err == (
        "Error: you are not authorized to push to this namespace, create the model under a namespace you own\n"
    )


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("m", "https://ollama.com/m"),
        ("me/m", "https://ollama.com/me/m"),
        ("me/m:v2", "https://ollama.com/me/m:v2"),
        ("registry.ollama.ai/me/m:latest", "https://ollama.com/me/m"),
        ("example.com:80/me/m:v2", "example.com:80/me/m:v2"),
    ],
)
def test_addresses(name: str, where: str) -> None:
    assert address(name) == where


LONG = "warning: " + "the weights are Q4_0 already, " * 6


def drawn(columns: int, *shown: dict[str, Any]) -> list[str]:
    """The lines a terminal of so many columns shows in the end, and whether anything still spins."""
    out = StringIO()
    console = Console(file=out, force_terminal=True, width=columns, color_system=None, legacy_windows=False)
    display = rows(console, auto_refresh=False)
    bars = Bars(display)
    for each in shown:
        bars.show(**each)
    console.print(display.get_renderable())
    return [line.rstrip() for line in out.getvalue().splitlines()]


def pulled(completed: int, total: int = 0) -> dict[str, Any]:
    return {"status": "pulling 5223981f814a", "key": "5", "completed": completed, "total": total}


@pytest.mark.parametrize("columns", [50, 80, 100])
def test_a_long_line_takes_no_room_from_a_bar(columns: int) -> None:
    lines = drawn(columns, {"status": LONG}, pulled(50_000_000, 105_900_000), {"status": "success"})
    (bar,) = [line for line in lines if "pulling" in line]
    assert "pulling 5223981f814a:" in bar
    assert len(bar.split("pulling 5223981f814a: ")[1].split()[0]) >= 8
    assert "105.9/105.9 MB" in bar
    assert len(bar) <= columns
    assert " ".join(" ".join(lines[: lines.index(bar)]).split()) == LONG.strip()


def test_a_spinner_becomes_the_bar_of_its_status() -> None:
    converting = {"status": "converting model"}
    lines = drawn(80, converting, {**converting, "total": 10, "completed": 4}, {"status": "success"})
    assert [line for line in lines if "converting" in line] == [lines[0]]
    assert lines[0].startswith("  converting model: ")
    assert "10/10 bytes" in lines[0]


def test_bytes_without_a_total_fill_no_bar() -> None:
    assert "1.0/? MB" in drawn(80, pulled(1_000_000))[0]
    assert "1.0/2.0 MB" in drawn(80, pulled(900_000), pulled(1_000_000, 2_000_000))[0]
    done = drawn(80, pulled(1_000_000), {"status": "success"})
    assert "1.0/1.0 MB" in done[0]
    assert done[0].startswith("  pulling")


def test_bars_on_a_terminal() -> None:
    display = rows(Console(file=StringIO(), force_terminal=True), auto_refresh=False)
    bars = Bars(display)
    bars.show("pulling manifest")
    bars.show("pulling ab", key="ab", total=10, completed=5)
    bars.show("pulling ab", key="ab", total=10, completed=10)
    bars.show("success")
    bars.finish()
    tasks = [(task.description, task.total, task.completed) for task in display.tasks]
    assert tasks == [("pulling manifest", 1, 1), ("pulling ab:", 10, 10), ("success", 1, 1)]
