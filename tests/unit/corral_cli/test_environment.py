"""Rows 30 and 34 of the command line's checklist, row 66 of the native API's: what the environment may say."""

import math

import pytest

from corral.config import Config, load
from corral.kernel import Kernel
from corral.pool import ModelPool
from corral_http.address import split_host

HOSTS = [
    ("", ("http", "127.0.0.1", 11434, "")),
    ("1.2.3.4", ("http", "1.2.3.4", 11434, "")),
    ("example.com", ("http", "example.com", 11434, "")),
    (":1234", ("http", "", 1234, "")),
    ("0.0.0.0", ("http", "0.0.0.0", 11434, "")),
    ("[::]", ("http", "::", 11434, "")),
    ("::1", ("http", "::1", 11434, "")),
    ("[::1]:1337", ("http", "::1", 1337, "")),
    ("http://1.2.3.4", ("http", "1.2.3.4", 80, "")),
    ("https://1.2.3.4", ("https", "1.2.3.4", 443, "")),
    ("https://example.com/ollama", ("https", "example.com", 443, "/ollama")),
    ("example.com:99999", ("http", "example.com", 11434, "")),
    ("example.com:-1", ("http", "example.com", 11434, "")),
    ("example.com:x", ("http", "example.com", 11434, "")),
    ("https://example.com:x", ("https", "example.com", 443, "")),
    (' "1.2.3.4:5" ', ("http", "1.2.3.4", 5, "")),
]


@pytest.mark.parametrize(("text", "expected"), HOSTS)
def test_row_30_hosts(text, expected):
    assert split_host(text) == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5m", 300), ("1h30m", 5400), ("10", 10), ("0", 0), ("-1", math.inf), ("-1m", math.inf), ("junk", 300), ("", 300)],
)
def test_row_34_keep_alive(tmp_path, text, seconds):
    empty = tmp_path / "corral.toml"
    empty.touch()
    settings = load(empty, {"OLLAMA_KEEP_ALIVE": text}).kernel
    assert ModelPool(Kernel(Config(kernel=settings), [])).default_keep_alive_s == seconds


@pytest.fixture
def kernel(tmp_path):
    """`kernel(NAME="value")`: the kernel's settings in that environment."""
    empty = tmp_path / "corral.toml"
    empty.touch()
    return lambda **environ: load(empty, environ).kernel


def test_row_66_corral_wins_over_ollama(kernel):
    assert kernel(OLLAMA_HOST="a:1", CORRAL_HOST="b:2").host == "b:2"
    assert kernel(OLLAMA_HOST="a:1").host == "a:1"


@pytest.mark.parametrize(("text", "expected"), [("3", 3), ("x", 512), ("-1", 512), ("1.5", 512), (" '7' ", 7)])
def test_row_66_counts(kernel, text, expected):
    assert kernel(OLLAMA_MAX_QUEUE=text).max_queue == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("1", True), ("t", True), ("anything", True), ("0", False), ("F", False), ("false", False)]
)
def test_row_66_switches(kernel, text, expected):
    assert kernel(OLLAMA_NOPRUNE=text).noprune is expected


def test_row_20_the_context_of_the_server(kernel):
    assert kernel(OLLAMA_CONTEXT_LENGTH="8192").context_length == 8192
    assert kernel(OLLAMA_CONTEXT_LENGTH="lots").context_length == kernel().context_length
