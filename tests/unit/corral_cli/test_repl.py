"""The interactive prompt: commands, several lines, keys, history."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from corral import CorralError
from corral_cli.client import Client
from corral_cli.repl.history import FileHistory, default_history
from corral_cli.repl.loop import converse
from corral_cli.repl.prompt import Prompt, edit, editor, is_open
from corral_cli.session import Session

from .conftest import FakeServer, Refusal

ANSWER = [
    {"message": {"role": "assistant", "content": "Hi"}, "done": False},
    {"message": {"role": "assistant", "content": "!"}, "done": True},
]
SHOWN = {
    "capabilities": ["completion"],
    "details": {"family": "llama"},
    "parameters": 'stop                           "x"\ntop_k                          5',
    "modelfile": "FROM y",
    "template": "{{ .Prompt }}",
}
Talk = Callable[..., Coroutine[Any, Any, Session]]


@pytest.fixture
def talk(server: FakeServer, tmp_path: Path) -> Talk:
    """`talk(*lines)`: type lines at the prompt, each with Enter, and leave; the session as it is then."""
    server.replies["POST /api/generate"] = {"done": True, "done_reason": "load"}
    server.replies["POST /api/chat"] = ANSWER
    server.replies["POST /api/show"] = SHOWN

    async def run(*lines: str, session: Session | None = None) -> Session:
        session = session or Session(model="m", capabilities=frozenset({"completion"}))
        with create_pipe_input() as keys:
            prompt = Prompt(FileHistory(tmp_path / "history"), input=keys, output=DummyOutput())
            keys.send_text("".join(f"{line}\r" for line in lines) + "\x04")
            async with asyncio.timeout(20):
                await converse(Client(server.address), session, prompt)
        return session

    return run


async def test_a_conversation_sends_its_history(talk: Talk, server: FakeServer, capsys) -> None:
    await talk("hello", "again")
    first, second = (body["messages"] for body in server.bodies("POST /api/chat"))
    assert first == [{"role": "user", "content": "hello"}]
    assert second == [*first, {"role": "assistant", "content": "Hi!"}, {"role": "user", "content": "again"}]
    assert capsys.readouterr().out == "Hi!\n\n" * 2
    assert server.bodies("POST /api/generate") == [{"model": "m", "options": {}, "prompt": "", "stream": False}]


async def test_stored_messages_are_replayed(talk: Talk, server: FakeServer, capsys) -> None:
    said = (("system", "s"), ("user", "q"), ("assistant", "a"))
    stored = [{"role": role, "content": content} for role, content in said]
    await talk(session=Session(model="m", stored_messages=stored))
    assert capsys.readouterr().out == ">>> q\na\n\n"
    assert server.bodies("POST /api/chat") == []


async def test_thinking_is_remembered_apart(talk: Talk, server: FakeServer) -> None:
    server.replies["POST /api/chat"] = [
        {"message": {"content": "", "thinking": "hm"}},
        {"message": {"content": "Yes"}, "done": True},
    ]
    session = await talk("q")
    assert session.messages[1] == {"role": "assistant", "content": "Yes", "thinking": "hm"}


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ('"""one line"""', "one line"),
        ('"""\rA\rB\r"""', "\nA\nB\n"),
        ('"""A\rB"""', "A\nB"),
        ("a\nb", "a\nb"),  # Ctrl+J
        ("\x1b[200~a\nb\x1b[201~", "a\nb"),  # a bracketed paste
        ("a\tb", "a        b"),
        ("helo\x02\x02l\x05 w", "hello w"),  # Ctrl+B, Ctrl+E
        ("abc def\x17ghi", "abc ghi"),  # Ctrl+W
        ("abc\x15def", "def"),  # Ctrl+U
        ("abc\x01\x0bdef", "def"),  # Ctrl+A, Ctrl+K
        ("xabc\x01\x04\x05", "abc"),  # Ctrl+D deletes
        ("ab\x08c", "ac"),  # Ctrl+H
    ],
)
async def test_keys_and_lines(talk: Talk, server: FakeServer, typed: str, sent: str) -> None:
    await talk(typed)
    assert [body["messages"][-1]["content"] for body in server.bodies("POST /api/chat")] == [sent]


async def test_blank_lines_are_not_sent(talk: Talk, server: FakeServer) -> None:
    await talk("", "   ")
    assert server.bodies("POST /api/chat") == []


@pytest.mark.parametrize("leave", ["/bye", "/exit", "/bye now", "/byebye"])
async def test_leaving(talk: Talk, server: FakeServer, leave: str) -> None:
    await talk(leave, "never sent")
    assert server.bodies("POST /api/chat") == []


async def test_ctrl_c_clears_the_line(talk: Talk, server: FakeServer, capsys) -> None:
    await talk("half\x03whole")
    assert capsys.readouterr().out.startswith("Use Ctrl + d or /bye to exit.\n")
    assert server.bodies("POST /api/chat")[0]["messages"] == [{"role": "user", "content": "whole"}]


@pytest.mark.parametrize(
    ("line", "out"),
    [
        ("/set history", ""),
        ("/set nohistory", ""),
        ("/set wordwrap", "Set 'wordwrap' mode.\n"),
        ("/set nowordwrap", "Set 'nowordwrap' mode.\n"),
        ("/set verbose", "Set 'verbose' mode.\n"),
        ("/set quiet", "Set 'quiet' mode.\n"),
        ("/set format json", "Set format to 'json' mode.\n"),
        ("/set format xml", "Invalid or missing format. For 'json' mode use '/set format json'\n"),
        ("/set format", "Invalid or missing format. For 'json' mode use '/set format json'\n"),
        ("/set noformat", "Disabled format.\n"),
        ("/set think", "Set 'think' mode.\n"),
        ("/set think high", "Set 'think' mode to 'high'.\n"),
        ("/set nothink", "Set 'nothink' mode.\n"),
        ("/set parameter stop a b", "Set parameter 'stop' to 'a, b'\n"),
        ("/set parameter nope 1", "Couldn't set parameter: \"unknown parameter 'nope'\"\n"),
        ("/set parameter top_k x", 'Couldn\'t set parameter: "invalid int value [x]"\n'),
        ("/set parameter temperature x", 'Couldn\'t set parameter: "invalid float value [x]"\n'),
        ("/set system be kind", "Set system message.\n"),
        ("/set other", "Unknown command '/set other'. Type /? for help\n"),
        ("/show other", "Unknown command '/show other'. Type /? for help\n"),
        ("/nope now", "Unknown command '/nope'. Type /? for help\n"),
        ("/clear", "Cleared session context\n"),
        ("/load", "Usage:\n  /load <modelname>\n"),
        ("/save", "Usage:\n  /save <modelname>\n"),
        ("/show license", "No license was specified for this model.\n"),
        ("/show system", "No system message was specified for this model.\n"),
        ("/show template", "{{ .Prompt }}\n"),
        ("/show modelfile", "FROM y\n"),
        (
            "/show parameters",
            'Model defined parameters:\n  stop                           "x"\n  top_k                          5\n\n',
        ),
    ],
)
async def test_what_commands_print(talk: Talk, capsys, line: str, out: str) -> None:
    await talk(line)
    assert capsys.readouterr().out == out


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/?", "/bye"),
        ("/help", "/bye"),
        ("/? set", "/set parameter"),
        ("/? /show", "/show info"),
        ("/? shortcuts", "Ctrl + a"),
        ("/set", "/set parameter"),
        ("/set system", "/set system"),
        ("/set parameter top_k", "num_ctx"),
        ("/show", "/show info"),
        ("/show info", "  Model\n    architecture    llama    \n"),
        ("/set think", 'warning: model "m" does not support thinking output'),
    ],
)
async def test_what_goes_to_stderr(talk: Talk, capsys, line: str, words: str) -> None:
    await talk(line)
    assert words in capsys.readouterr().err


async def test_settings_go_into_requests(talk: Talk, server: FakeServer, capsys) -> None:
    lines = ("/set parameter temperature 0.5", "/set parameter seed 7", "/set format json", "/set think low", "hi")
    await talk(*lines, "/show parameters")
    body = server.bodies("POST /api/chat")[0]
    assert body["options"] == {"temperature": 0.5, "seed": 7}
    assert (body["format"], body["think"]) == ("json", "low")
    assert "User defined parameters:\n  temperature                    0.5\n  seed                           7\n" in (
        capsys.readouterr().out
    )


async def test_system_messages(talk: Talk, server: FakeServer) -> None:
    await talk("/set system one", '/set system """two\rlines"""', "hi", "/clear", "again")
    first, second = (body["messages"] for body in server.bodies("POST /api/chat"))
    system = {"role": "system", "content": "two\nlines"}
    assert first == [system, {"role": "user", "content": "hi"}]
    assert second == [system, {"role": "user", "content": "again"}]


async def test_load_keeps_the_model_when_the_new_one_is_unknown(talk: Talk, server: FakeServer, capsys) -> None:
    server.replies["POST /api/show"] = lambda body: SHOWN if body["model"] == "n" else Refusal(404, "not found")
    session = await talk("hi", "/load nope", "still", "/load n", "fresh")
    assert [body["model"] for body in server.bodies("POST /api/chat")] == ["m", "m", "n"]
    assert session.messages[0] == {"role": "user", "content": "fresh"}
    assert "Loading model 'nope'\nCouldn't find model 'nope'\n" in capsys.readouterr().out


async def test_save_sends_the_session(talk: Talk, server: FakeServer, capsys) -> None:
    server.replies["POST /api/create"] = lambda body: (
        [{"status": "success"}] if body["model"] != "a b" else Refusal(400, "invalid model name")
    )
    stored = [{"role": "user", "content": "q"}]
    session = Session(model="m", stored_messages=stored)
    await talk("/set system s", "/set parameter top_k 3", "/save new", session=session)
    assert server.bodies("POST /api/create") == [
        {
            "model": "new",
            "from": "m",
            "system": "s",
            "parameters": {"top_k": 3},
            "messages": stored,  # what SYSTEM says is no message too
        }
    ]
    assert capsys.readouterr().out.endswith("Created new model 'new'\n")
    server.replies["POST /api/create"] = Refusal(400, "invalid model name")
    await talk("/save x!y")
    assert capsys.readouterr().out == "error: The model name 'x!y' is invalid\n"


async def test_save_keeps_what_was_said_under_an_earlier_system_message(talk: Talk, server: FakeServer) -> None:
    server.replies["POST /api/create"] = [{"status": "success"}]
    await talk("/set system one", "hi", "/set system two", "/save new")
    (body,) = server.bodies("POST /api/create")
    assert body["system"] == "two"
    assert [message["content"] for message in body["messages"]] == ["one", "hi", "Hi!"]


async def test_clear_keeps_the_messages_of_the_model(talk: Talk, server: FakeServer) -> None:
    server.replies["POST /api/create"] = [{"status": "success"}]
    stored = [{"role": "user", "content": "q"}]
    await talk("hi", "/clear", "/save new", session=Session(model="m", stored_messages=stored))
    assert [body["messages"] for body in server.bodies("POST /api/create")] == [stored]


async def test_list(talk: Talk, server: FakeServer, capsys) -> None:
    server.replies["GET /api/tags"] = {"models": []}
    await talk("/list x")
    assert capsys.readouterr().out == "NAME    ID    SIZE    MODIFIED \n"


async def test_a_server_that_was_shut_down_ends_it(talk: Talk, server: FakeServer, capsys) -> None:
    server.replies["POST /api/chat"] = [*ANSWER[:1], {"message": {}, "done": True, "done_reason": "shutdown"}]
    with pytest.raises(CorralError, match="shut down before the answer was complete"):
        await talk("hi")
    assert capsys.readouterr().out == "Hi\n\n"


async def test_think_errors_do_not_end_it(talk: Talk, server: FakeServer, capsys) -> None:
    server.replies["POST /api/chat"] = Refusal(400, '"m" does not support thinking')
    await talk("hi", "/bye")
    assert capsys.readouterr().out == 'error: 400 Bad Request: "m" does not support thinking\n'


async def test_other_errors_end_it(talk: Talk, server: FakeServer) -> None:
    server.replies["POST /api/chat"] = Refusal(500, "broken")
    with pytest.raises(CorralError, match="broken"):
        await talk("hi", "never")


async def test_a_path_is_a_message_for_a_model_that_sees(talk: Talk, server: FakeServer, capsys) -> None:
    session = Session(model="m", capabilities=frozenset({"vision"}))
    await talk("/missing/a.png what", session=session)
    assert server.bodies("POST /api/chat")[0]["messages"][0]["content"] == "/missing/a.png what"
    assert capsys.readouterr().out == "Hi!\n\n"


async def read_after(history: FileHistory, first: str, ready: Callable[[], bool], then: str) -> str:
    """The message that comes of typing `first`, waiting until `ready`, and typing `then`."""
    with create_pipe_input() as keys:
        reading = asyncio.ensure_future(Prompt(history, input=keys, output=DummyOutput()).read())
        for _ in range(20):  # turns of the loop in which the prompt comes up and reads its history
            await asyncio.sleep(0)
        keys.send_text(first)
        async with asyncio.timeout(20):
            while not ready():  # noqa: ASYNC110  another process gets ready
                await asyncio.sleep(0.01)
            keys.send_text(then)
            return await reading


async def test_earlier_messages_come_back(tmp_path: Path) -> None:
    (tmp_path / "history").write_text("one\ntwo\n")
    history = FileHistory(tmp_path / "history")
    assert await read_after(history, "unsent\x1b[A\x1b[A three\r", lambda: True, "") == "one three"
    assert await read_after(history, "unsent\x1b[A\x1b[B!\r", lambda: True, "") == "unsent!"
    assert await read_after(history, "\x10\x10\x10\x0e\r", lambda: True, "") == "one three"  # Ctrl+P, Ctrl+N


def test_history_is_private_and_bounded(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "history"
    history = FileHistory(path)
    for number in range(120):
        history.append_string(f"line {number}")
    history.append_string("two\nlines")
    history.append_string("  ")
    assert path.stat().st_mode & 0o777 == 0o600
    lines = path.read_text().splitlines()
    assert (len(lines), lines[0], lines[-2:]) == (100, "line 22", ["two", "lines"])
    assert next(iter(FileHistory(path).load_history_strings())) == "lines"
    assert not list(path.parent.glob("*.tmp"))


def test_history_can_be_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OLLAMA_NOHISTORY", "1")
    history = default_history()
    history.append_string("x")
    assert list(history.get_strings()) == ["x"]
    assert not (tmp_path / ".ollama").exists()


def test_quotes_open_and_close() -> None:
    assert is_open('"""')
    assert is_open('/set system """a')
    assert not is_open('"""a"""')
    assert not is_open("a")
    assert not is_open('say """')


def test_the_editor_is_the_users() -> None:
    assert editor({}) == "vi"
    assert editor({"EDITOR": "nano", "OLLAMA_EDITOR": "ed"}) == "ed"


async def test_ctrl_g_edits_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = tmp_path / "done"
    script = tmp_path / "editor"
    script.write_text(f'#!/bin/sh\nprintf " and more" >> "$1"\ntouch {done}\n')
    script.chmod(0o700)
    monkeypatch.setenv("OLLAMA_EDITOR", str(script))
    assert await read_after(FileHistory(tmp_path / "history"), "text\x07", done.exists, "!\r") == "text and more!"


def test_a_missing_editor_is_told(capsys) -> None:
    assert edit("/no/such/editor", "text") == ""
    assert capsys.readouterr().out == (
        'error: editor "/no/such/editor" not found, set OLLAMA_EDITOR to the path of your preferred editor\n'
    )
