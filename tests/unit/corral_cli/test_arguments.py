"""Argument errors, help and version: nothing is asked of a server, except its version."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from corral import __version__

from .conftest import FakeServer


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("create", "accepts 1 arg(s), received 0"),
        ("create a b", "accepts 1 arg(s), received 2"),
        ("show", "accepts 1 arg(s), received 0"),
        ("stop a b", "accepts 1 arg(s), received 2"),
        ("pull", "accepts 1 arg(s), received 0"),
        ("push", "accepts 1 arg(s), received 0"),
        ("cp a", "accepts 2 arg(s), received 1"),
        ("cp a b c", "accepts 2 arg(s), received 3"),
        ("rm", "requires at least 1 arg(s), only received 0"),
        ("run", "requires at least 1 arg(s), only received 0"),
        ("serve x", "accepts 0 arg(s), received 1"),
        ("list --nope", "unknown flag: --nope"),
        ("--nope", "unknown flag: --nope"),
        ("show m -x", "unknown shorthand flag: 'x' in -x"),
        ("show m -vx", "unknown shorthand flag: 'x' in -vx"),
        ("run m --format", "flag needs an argument: --format"),
        ("create m -f", "flag needs an argument: 'f' in -f"),
        ("run m --dimensions x", 'invalid argument "x" for "--dimensions" flag: invalid syntax'),
        ("show m --verbose=perhaps", 'invalid argument "perhaps" for "-v, --verbose" flag: invalid syntax'),
        ("lst", 'unknown command "lst" for "corral"\n\nDid you mean this?\n\tlist\n'),
        ("xyzzy", 'unknown command "xyzzy" for "corral"'),
        ("run m --think=loud", 'invalid value for --think: "loud" (must be true, false, high, medium, low, or max)'),
        ("run m --keepalive -1", 'time: missing unit in duration "-1"'),
        ("signin", "accounts are not supported: everything Corral does is on your own machine"),
        ("logout", "accounts are not supported: everything Corral does is on your own machine"),
    ],
)
def test_errors_are_one_line_on_stderr(corral, capsys, argv: str, message: str) -> None:
    assert corral(*argv.split()) == 1
    captured = capsys.readouterr()
    assert captured.err == f"Error: {message}\n"
    assert captured.out == ""


def test_no_command_is_help(corral, capsys) -> None:
    assert corral() == 0
    text = capsys.readouterr().out
    listed = [line.split()[0] for line in text.splitlines() if line.startswith("    ")]
    order = ["serve", "create", "show", "run", "stop", "pull", "push", "signin", "signout", "list", "ps", "cp", "rm"]
    assert listed[: len(order)] == order
    assert "logout" not in text


@pytest.mark.parametrize(("argv", "words"), [("help cp", "SOURCE DESTINATION"), ("serve -h", "CORRAL_MODELS")])
def test_help_of_a_command(corral, capsys, argv: str, words: str) -> None:
    try:
        code = corral(*argv.split())
    except SystemExit as done:
        code = int(done.code or 0)
    assert code == 0
    assert words in capsys.readouterr().out


def test_help_of_an_unknown_command(corral, capsys) -> None:
    assert corral("help", "nope") == 1
    assert capsys.readouterr().err == 'Error: unknown command "nope" for "corral"\n'


RELEASE = f"Corral release {__version__}; the version above is that of the API it speaks\n"


@pytest.mark.parametrize("argv", [["-v"], ["--version"], ["version"]])
def test_version_is_the_servers(corral, server: FakeServer, capsys, argv: list[str]) -> None:
    server.replies["GET /api/version"] = {"version": "0.30.0"}
    assert corral(*argv) == 0
    assert capsys.readouterr().out == f"corral version is 0.30.0\n{RELEASE}"


def test_another_version_is_told(corral, server: FakeServer, capsys) -> None:
    server.replies["GET /api/version"] = {"version": "9.9.9"}
    assert corral("-v") == 0
    assert capsys.readouterr().out == f"corral version is 9.9.9\nWarning: client version is 0.30.0\n{RELEASE}"


def test_version_without_a_server(corral, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")
    assert corral("-v") == 0
    assert capsys.readouterr().out == (
        f"Warning: could not connect to a running Corral instance\nWarning: client version is 0.30.0\n{RELEASE}"
    )


@pytest.mark.parametrize("argv", [["plugins"], ["--help"], ["version"], ["help", "show"], ["ls"]])
def test_a_reader_that_leaves_ends_a_command_quietly(server: FakeServer, tmp_path: Path, argv: list[str]) -> None:
    environ = {**os.environ, "HOME": str(tmp_path), "OLLAMA_HOST": server.address, "PYTHONUNBUFFERED": ""}
    server.replies["GET /api/tags"] = {"models": []}
    process = subprocess.Popen(
        [sys.executable, "-m", "corral", *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr as said:
        assert said.read() == b""
    assert process.wait(timeout=60) == 1
