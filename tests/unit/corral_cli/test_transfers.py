"""pull and push: statuses on stderr, the address of what was pushed on stdout."""

import pytest

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


def test_bars_on_a_terminal(capsys) -> None:
    from io import StringIO

    from rich.console import Console
    from rich.progress import Progress

    from corral_cli.progress import Bars

    with Progress(console=Console(file=StringIO(), force_terminal=True), auto_refresh=False) as display:
        bars = Bars(display)
        bars.show("pulling manifest")
        bars.show("pulling ab", key="ab", total=10, completed=5)
        bars.show("pulling ab", key="ab", total=10, completed=10)
        bars.show("success")
        bars.stop_spinner()
        tasks = [(task.description, task.total, task.completed) for task in display.tasks]
    assert tasks == [("pulling manifest", 1, 1), ("pulling ab:", 10, 10), ("success", 1, 1)]
