"""create: the Modelfile, the uploads, the request."""

import hashlib
from pathlib import Path

import pytest

from .conftest import FakeServer, Refusal

STATUSES = [{"status": "parsing GGUF"}, {"status": "writing manifest"}, {"status": "success"}]


@pytest.fixture(autouse=True)
def _builds(server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    server.replies["POST /api/show"] = Refusal(404, "model 'm:latest' not found")
    server.replies["POST /api/blobs"] = None
    server.replies["POST /api/create"] = STATUSES


def test_files_are_uploaded_and_named_by_digest(corral, server: FakeServer, tmp_path: Path, capsys) -> None:
    data = b"GGUF" + bytes(range(256)) * 10_000
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    (tmp_path / "w.gguf").write_bytes(data)
    modelfile = 'FROM ./w.gguf\nSYSTEM """be\nkind"""\nPARAMETER temperature 0.5\nPARAMETER stop a\nMESSAGE user hi\n'
    (tmp_path / "Modelfile").write_text(modelfile)
    assert corral("create", "m", "-q", "q4_K_M") == 0
    assert server.bodies(f"POST /api/blobs/{digest}") == [data]
    assert server.bodies("POST /api/create") == [
        {
            "model": "m",
            "files": {"w.gguf": digest},
            "system": "be\nkind",
            "parameters": {"temperature": 0.5, "stop": ["a"]},
            "messages": [{"role": "user", "content": "hi"}],
            "quantize": "q4_K_M",
        }
    ]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        f"gathering model components\ncopying file {digest} 100%\nparsing GGUF\nwriting manifest\nsuccess\n"
    )


def test_several_files_and_an_empty_one(corral, server: FakeServer, tmp_path: Path, capsys) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.gguf").write_bytes(b"" if name == "c" else name.encode())
    (tmp_path / "M").write_text("FROM a.gguf\nFROM b.gguf\nADAPTER c.gguf\n")
    assert corral("create", "m", "-f", "M") == 0
    body = server.bodies("POST /api/create")[0]
    assert set(body["files"]) == {"a.gguf", "b.gguf"}
    assert set(body["adapters"]) == {"c.gguf"}
    assert capsys.readouterr().err.count("copying file") == 3


def test_a_name_that_is_no_file_is_a_model(corral, server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "Modelfile").write_text("FROM llama3.2\n")
    assert corral("create", "m") == 0
    assert server.bodies("POST /api/create") == [{"model": "m", "from": "llama3.2"}]


def test_what_looks_like_a_file_and_is_none(corral, server: FakeServer, tmp_path: Path, capsys) -> None:
    (tmp_path / "Modelfile").write_text("FROM no.gguf\n")
    assert corral("create", "m") == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "Error: FROM no.gguf: the file no.gguf does not exist, and no model is called so"
    )
    server.replies["POST /api/show"] = {}
    assert corral("create", "m") == 0
    assert server.bodies("POST /api/create") == [{"model": "m", "from": "no.gguf"}]


def test_without_a_modelfile_the_folder_is_the_model(corral, server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"GGUF\3\0\0\0\0\0\0\0\0\0\0\0")
    assert corral("create", "m") == 0
    assert list(server.bodies("POST /api/create")[0]["files"]) == ["x.gguf"]


def test_deprecated_parameters_are_told_on_stdout(corral, tmp_path: Path, capsys) -> None:
    (tmp_path / "Modelfile").write_text("FROM x\nPARAMETER f16_kv true\n")
    assert corral("create", "m") == 0
    assert capsys.readouterr().out == "warning: parameter f16_kv is deprecated\n"


@pytest.mark.parametrize(
    ("modelfile", "argv", "message"),
    [
        ("FROM x", ("-f", "missing"), "specified Modelfile wasn't found"),
        ("", (), "no FROM line"),
        ("FROM x\nPARAMETER nope 1\n", (), "unknown parameter 'nope' (line 2: PARAMETER nope)"),
        ("FROM x\n", ("--draft-quantize", "q8_0"), "--draft-quantize requires a DRAFT model"),
        ("FROM x\n", ("--experimental",), None),
    ],
)
def test_errors(corral, server: FakeServer, tmp_path: Path, capsys, modelfile, argv, message: str | None) -> None:
    (tmp_path / "Modelfile").write_text(modelfile)
    assert corral("create", "m", *argv) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"Error: {message}" if message else "not supported" in last
    assert server.bodies("POST /api/create") == []


def test_a_bad_name_is_told_before_anything_is_sent(corral, server: FakeServer, capsys) -> None:
    server.replies["POST /api/show"] = Refusal(400, "invalid model name")
    assert corral("create", "a!b") == 1
    assert capsys.readouterr().err == "Error: invalid model name: a!b\n"


def test_a_refused_upload_ends_it(corral, server: FakeServer, tmp_path: Path, capsys) -> None:
    (tmp_path / "w.gguf").write_bytes(b"GGUF")
    (tmp_path / "Modelfile").write_text("FROM ./w.gguf\n")
    server.replies["POST /api/blobs"] = Refusal(400, "digest mismatch")
    assert corral("create", "m") == 1
    assert capsys.readouterr().err.splitlines()[-1] == "Error: digest mismatch"
    assert server.bodies("POST /api/create") == []
