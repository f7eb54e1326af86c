"""list, ps, show, cp, rm, stop against a scripted server."""

import pytest

from .conftest import FakeServer, Refusal

SHOWN = {
    "details": {"family": "llama"},
    "license": "MIT",
    "template": "{{ .Prompt }}",
    "system": "kind",
    "modelfile": "FROM x",
}


def test_list_and_its_alias(corral, server: FakeServer, capsys) -> None:
    model = {"name": "m:latest", "digest": "a" * 64, "size": 1_000_000, "modified_at": "0001-01-01T00:00:00Z"}
    server.replies["GET /api/tags"] = {"models": [model]}
    expected = "NAME        ID              SIZE    MODIFIED \nm:latest    aaaaaaaaaaaa    1 MB    Never       \n"
    assert corral("list") == 0
    assert capsys.readouterr().out == expected
    assert corral("ls", "M") == 0
    assert capsys.readouterr().out == expected
    assert corral("ls", "x", "ignored") == 0
    assert capsys.readouterr().out == "NAME    ID    SIZE    MODIFIED \n"


def test_ps_of_nothing_is_a_header(corral, server: FakeServer, capsys) -> None:
    server.replies["GET /api/ps"] = {"models": []}
    assert corral("ps") == 0
    assert capsys.readouterr().out == "NAME    ID    SIZE    PROCESSOR    CONTEXT    UNTIL \n"


def test_ps_verbose_tells_what_models_do(corral, server: FakeServer, capsys) -> None:
    done = {"active": 2, "queued": 1, "prompt_tokens": 900, "cached_tokens": 300, "eval_tokens": 80}
    done |= {
        "drafted_tokens": 12,
        "accepted_tokens": 9,
        "load_ms": 1240,
        "queue_ms": 40.0,
        "prompt_ms": 1500.0,
        "eval_ms": 2340.0,
    }
    row = {"name": "m:latest", "digest": "0" * 64, "size": 1, "expires_at": "2999-01-01T00:00:00Z"}
    server.replies["GET /api/ps?verbose=1"] = {"models": [{**row, "activity": done}, {**row, "name": "n:latest"}]}
    assert corral("ps", "--verbose") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [" ".join(line.split()) for line in lines[4:]] == [
        "NAME ACTIVE QUEUED PROMPT CACHED GENERATED GUESSED LOAD QUEUE PREFILL DECODE",
        "m:latest 2 1 900 300 80 9 of 12 1.2 s 0.0 s 1.5 s 2.3 s",
        "n:latest 0 0 0 0 0 0 of 0 0.0 s 0.0 s 0.0 s 0.0 s",
    ]


@pytest.mark.parametrize("argv", [["ps"], ["stop", "m"]])
def test_what_asks_about_a_server_needs_one(corral, monkeypatch: pytest.MonkeyPatch, capsys, argv: list[str]) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")
    assert corral(*argv) == 1
    assert capsys.readouterr().err == ("Error: could not connect to corral server, run 'corral serve' to start it\n")


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        ("--license", "MIT\n"),
        ("--template", "{{ .Prompt }}"),
        ("--system", "kind"),
        ("--modelfile", "FROM x\n"),
        ("--parameters", "\n"),
    ],
)
def test_show_one_text(corral, server: FakeServer, capsys, flag: str, text: str) -> None:
    server.replies["POST /api/show"] = SHOWN
    assert corral("show", "m", flag) == 0
    assert capsys.readouterr().out == text
    assert server.bodies("POST /api/show") == [{"model": "m", "verbose": False}]


def test_show_refuses_two_selectors(corral, capsys) -> None:
    assert corral("show", "m", "--license", "--system") == 1
    assert capsys.readouterr().err == (
        "Error: only one of '--license', '--modelfile', '--parameters', '--system', or '--template' can be specified\n"
    )


def test_show_sections(corral, server: FakeServer, capsys) -> None:
    server.replies["POST /api/show"] = SHOWN
    assert corral("show", "-v", "m") == 0
    assert capsys.readouterr().out.startswith("  Model\n    architecture    llama    \n\n  Metadata\n")
    assert server.bodies("POST /api/show") == [{"model": "m", "verbose": True}]


def test_cp(corral, server: FakeServer, capsys) -> None:
    server.replies["POST /api/copy"] = None
    assert corral("cp", "a", "b") == 0
    assert capsys.readouterr().out == "copied 'a' to 'b'\n"
    assert server.bodies("POST /api/copy") == [{"source": "a", "destination": "b"}]


def test_cp_of_nothing(corral, server: FakeServer, capsys) -> None:
    server.replies["POST /api/copy"] = Refusal(404, 'model "a" not found')
    assert corral("cp", "a", "b") == 1
    assert capsys.readouterr().err == 'Error: model "a" not found\n'


def test_rm_goes_on_after_a_failed_stop_and_ends_at_a_failed_delete(corral, server: FakeServer, capsys) -> None:
    server.replies["POST /api/show"] = {}
    server.replies["POST /api/generate"] = lambda body: Refusal(500, "stuck") if body["model"] == "a" else {}
    server.replies["DELETE /api/delete"] = lambda body: (
        Refusal(404, "model 'c' not found") if body["model"] == "c" else None
    )
    assert corral("rm", "a", "b", "c", "d") == 1
    captured = capsys.readouterr()
    assert captured.out == "deleted 'a'\ndeleted 'b'\n"
    assert captured.err == "Warning: unable to stop model 'a'\nError: model 'c' not found\n"
    assert server.bodies("DELETE /api/delete") == [{"model": "a"}, {"model": "b"}, {"model": "c"}]
    assert all(body["keep_alive"] == 0 for body in server.bodies("POST /api/generate"))


def test_rm_of_a_missing_model_warns_of_nothing(corral, server: FakeServer, capsys) -> None:
    server.replies["POST /api/show"] = Refusal(404, "model 'a:latest' not found")
    server.replies["DELETE /api/delete"] = Refusal(404, "model 'a' not found")
    assert corral("rm", "a") == 1
    assert capsys.readouterr().err == "Error: model 'a' not found\n"


def test_stop(corral, server: FakeServer, capsys) -> None:
    server.replies["POST /api/show"] = {}
    server.replies["POST /api/generate"] = {"done": True, "done_reason": "unload"}
    assert corral("stop", "m") == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert server.bodies("POST /api/generate") == [{"model": "m", "prompt": "", "keep_alive": 0, "stream": False}]


def test_stop_of_an_unknown_model(corral, server: FakeServer, capsys) -> None:
    server.replies["POST /api/show"] = Refusal(404, "model 'm:latest' not found")
    assert corral("stop", "m") == 1
    assert capsys.readouterr().err == 'Error: couldn\'t find model "m" to stop\n'
