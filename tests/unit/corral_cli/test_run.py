"""run: modes, prompts, flags, thinking, embeddings, files."""

import base64
import io
import json
from pathlib import Path

import pytest

from corral import CorralError
from corral_cli.attachments import extract, kind_of, paths_in

from .conftest import FakeServer, Refusal

ANSWER = [
    {"response": "Hel", "done": False},
    {"response": "lo", "done": False},
    {"response": "", "done": True, "done_reason": "stop", "eval_count": 2, "eval_duration": 1_000_000_000},
]
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20


class Terminal(io.StringIO):
    """A stdin that says it is one."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _stdin_is_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", Terminal())


@pytest.fixture
def chatty(server: FakeServer) -> FakeServer:
    """A server with a model that completes."""
    server.replies["POST /api/show"] = {"capabilities": ["completion"]}
    server.replies["POST /api/generate"] = ANSWER
    return server


def test_one_answer_and_two_newlines(corral, chatty: FakeServer, capsys) -> None:
    assert corral("run", "m", "say", "hello") == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("Hello\n\n", "")
    assert chatty.bodies("POST /api/generate") == [{"model": "m", "options": {}, "prompt": "say hello"}]


@pytest.mark.parametrize(
    ("piped", "words", "prompt"),
    [("in\n", ["a", "b"], "in\n a b"), ("", ["a"], "a"), ("in\n", [], "in\n"), ("", [], "")],
)
def test_stdin_comes_first(corral, chatty, monkeypatch, capsys, piped: str, words: list[str], prompt: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(piped))
    assert corral("run", "m", *words) == 0
    assert chatty.bodies("POST /api/generate")[0]["prompt"] == prompt
    assert "\x1b" not in capsys.readouterr().out


def test_an_empty_prompt_only_loads(corral, chatty: FakeServer, capsys) -> None:
    chatty.replies["POST /api/generate"] = {"response": "", "done": True, "done_reason": "load"}
    assert corral("run", "m", "") == 0
    assert capsys.readouterr().out == ""


def test_a_missing_model_is_pulled(corral, chatty: FakeServer, capsys) -> None:
    known: list[str] = []
    chatty.replies["POST /api/show"] = lambda _: {"capabilities": []} if known else Refusal(404, "model not found")

    def pull(_: object) -> list[dict[str, str]]:
        known.append("m")
        return [{"status": "pulling manifest"}, {"status": "success"}]

    chatty.replies["POST /api/pull"] = pull
    assert corral("run", "--insecure", "m", "hi") == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("Hello\n\n", "pulling manifest\nsuccess\n")
    assert chatty.bodies("POST /api/pull") == [{"model": "m", "insecure": True}]


def test_flags_go_into_the_request(corral, chatty: FakeServer, capsys) -> None:
    schema = '{"type": "object"}'
    assert corral("run", "m", "--format", schema, "--keepalive=1h30m", "--think=low", "hi") == 0
    assert corral("run", "m", "--format=json", "--keepalive", "-1s", "--think", "hi") == 0
    assert corral("run", "m", "--think=false", "--keepalive", "0", "--", "--think") == 0
    first, second, third = chatty.bodies("POST /api/generate")
    assert (first["format"], first["keep_alive"], first["think"]) == (json.loads(schema), "1h30m", "low")
    assert (second["format"], second["keep_alive"], second["think"]) == ("json", "-1s", True)
    assert (third["keep_alive"], third["think"], third["prompt"]) == ("0", False, "--think")


def test_thinking_models_think_unless_told_otherwise(corral, chatty: FakeServer, capsys) -> None:
    chatty.replies["POST /api/show"] = {"capabilities": ["completion", "thinking"]}
    chatty.replies["POST /api/generate"] = [
        {"thinking": "hm", "response": ""},
        {"thinking": " so", "response": ""},
        {"response": "Yes"},
        {"response": "", "done": True},
    ]
    assert corral("run", "m", "hi") == 0
    assert capsys.readouterr().out == "Thinking...\nhm so\n...done thinking.\n\nYes\n\n"
    assert corral("run", "m", "hi", "--hidethinking") == 0
    assert capsys.readouterr().out == "Yes\n\n"
    assert [body["think"] for body in chatty.bodies("POST /api/generate")] == [True, True]


def test_verbose_prints_statistics_on_stderr(corral, chatty: FakeServer, capsys) -> None:
    assert corral("run", "m", "hi", "--verbose") == 0
    captured = capsys.readouterr()
    assert captured.out == "Hello\n\n"
    assert captured.err == (
        "eval count:           2 token(s)\neval duration:        1s\neval rate:            2.00 tokens/s\n"
    )


def test_a_server_that_was_shut_down_is_an_error_after_the_text(corral, chatty: FakeServer, capsys) -> None:
    chatty.replies["POST /api/generate"] = [*ANSWER[:1], {"response": "", "done": True, "done_reason": "shutdown"}]
    assert corral("run", "m", "hi") == 1
    captured = capsys.readouterr()
    assert captured.out == "Hel\n\n"
    assert captured.err == "Error: the server was shut down before the answer was complete\n"


def test_tool_calls_are_told(corral, chatty: FakeServer, capsys) -> None:
    calls = [{"function": {"name": "f", "arguments": {"a": 1, "b": "ü"}}}]
    chatty.replies["POST /api/generate"] = [{"response": "", "tool_calls": calls}, {"done": True}]
    assert corral("run", "m", "hi") == 0
    assert capsys.readouterr().out == (
        '  Model called a non-existent function \'f()\' with arguments: {"a":1,"b":"ü"}\n\n\n'
    )


def test_errors_end_it(corral, chatty: FakeServer, capsys) -> None:
    chatty.replies["POST /api/generate"] = Refusal(400, '"m" does not support thinking')
    assert corral("run", "m", "hi", "--think") == 1
    assert capsys.readouterr().err == 'Error: 400 Bad Request: "m" does not support thinking\n'
    chatty.replies["POST /api/generate"] = [ANSWER[0], {"error": "broken"}]
    assert corral("run", "m", "hi") == 1
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("Hel", "Error: broken\n")


def test_embeddings_are_one_line_of_json(corral, server: FakeServer, capsys) -> None:
    server.replies["POST /api/show"] = {"capabilities": ["embedding"]}
    server.replies["POST /api/embed"] = {"embeddings": [[0.5, -0.25]]}
    assert corral("run", "e", "some", "text", "--dimensions", "2", "--truncate=false", "--keepalive=1m") == 0
    assert corral("run", "e", "x") == 0
    assert capsys.readouterr().out == "[0.5,-0.25]\n" * 2
    assert server.bodies("POST /api/embed") == [
        {"model": "e", "input": "some text", "truncate": False, "dimensions": 2, "keep_alive": "1m"},
        {"model": "e", "input": "x"},
    ]
    assert corral("run", "e") == 1
    assert capsys.readouterr().err == (
        'Error: embedding models require input text. Usage: corral run MODEL "your text here"\n'
    )


def test_image_generation_is_refused(corral, server: FakeServer, capsys) -> None:
    server.replies["POST /api/show"] = {"capabilities": ["image"]}
    assert corral("run", "i", "x") == 1
    assert capsys.readouterr().err == "Error: image generation models are not currently supported\n"


def test_files_go_with_the_prompt_of_a_model_that_sees(corral, chatty: FakeServer, tmp_path: Path, capsys) -> None:
    chatty.replies["POST /api/show"] = {"capabilities": ["completion", "vision"]}
    image = tmp_path / "a b.png"
    image.write_bytes(PNG)
    assert corral("run", "m", f"what is '{image}' here") == 0
    body = chatty.bodies("POST /api/generate")[0]
    assert body["prompt"] == "what is  here"
    assert body["images"] == [base64.b64encode(PNG).decode()]
    assert capsys.readouterr().err == f"Added image '{image}'\n"


def test_a_file_that_is_none_is_an_error(corral, chatty: FakeServer, tmp_path: Path, capsys) -> None:
    chatty.replies["POST /api/show"] = {"capabilities": ["completion", "vision"]}
    fake = tmp_path / "a.png"
    fake.write_text("hello")
    assert corral("run", "m", str(fake)) == 1
    captured = capsys.readouterr()
    message = "invalid file type: text/plain; charset=utf-8"
    assert (captured.out, captured.err) == (f'Couldn\'t process file: "{message}"\n', f"Error: {message}\n")


def test_paths_in_a_prompt() -> None:
    assert paths_in("see ./a.png and /tmp/x\\ y.JPG, C:\\pics\\z.webp or /s.wav.") == [
        "./a.png",
        "/tmp/x\\ y.JPG",
        "C:\\pics\\z.webp",
        "/s.wav",
    ]
    assert paths_in("a.png is not a path, nor is /a.pngx") == []


def test_escaped_and_missing_paths(tmp_path: Path, capsys) -> None:
    image = tmp_path / "a (1).png"
    image.write_bytes(PNG)
    escaped = str(image).replace(" ", "\\ ").replace("(", "\\(").replace(")", "\\)")
    found = extract(f"{escaped} and /missing/b.png ")
    assert found.text == "and /missing/b.png"
    assert len(found.images) == 1


def test_kinds_are_told_by_content() -> None:
    assert kind_of(b"\xff\xd8\xff\xe0") == "image"
    assert kind_of(b"RIFF\0\0\0\0WEBPVP8 ") == "image"
    assert kind_of(b"RIFF\0\0\0\0WAVEfmt ") == "audio"
    with pytest.raises(CorralError, match="invalid file type: application/octet-stream"):
        kind_of(b"\0\1\2")


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    large = tmp_path / "l.png"
    with large.open("wb") as file:
        file.truncate(100 * 2**20 + 1)
    with pytest.raises(CorralError, match=r"file size exceeds maximum limit \(100MB\)"):
        extract(str(large))
