"""Which local files a Modelfile means."""

import os
from pathlib import Path

import pytest

from corral import BadRequest
from corral_modelfile import LocalFiles, files_for, parse

GGUF = b"GGUF\x03\x00\x00\x00" + bytes(64)
ZIP = b"PK\x03\x04" + bytes(64)


def put(root: Path, *names: str, data: bytes = b"{}") -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def local(text: str, folder: Path) -> LocalFiles:
    return files_for(parse(text), folder)


def error(text: str, folder: Path) -> str:
    with pytest.raises(BadRequest) as caught:
        local(text, folder)
    return caught.value.message


def test_a_path_beats_a_name(tmp_path: Path) -> None:
    assert local("FROM llama3", tmp_path) == LocalFiles(base="llama3")
    put(tmp_path, "llama3", data=GGUF)
    assert local("FROM llama3", tmp_path) == LocalFiles(files={"llama3": tmp_path / "llama3"})


def test_paths_start_at_the_modelfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "sub/m.gguf", data=GGUF)
    monkeypatch.chdir(tmp_path / "sub")
    for text in ("sub/m.gguf", "./sub/../sub/m.gguf", str(tmp_path / "sub/m.gguf")):
        assert local(f"FROM {text}", tmp_path).files == {"m.gguf": tmp_path / "sub/m.gguf"}
    assert local("FROM m.gguf", Path()).files == {"m.gguf": tmp_path / "sub/m.gguf"}
    assert local("FROM m.gguf", tmp_path).base == "m.gguf"


def test_homes() -> None:
    import pwd

    me = pwd.getpwuid(os.getuid())
    for text in ("~", f"~{me.pw_name}"):
        missing = f"FROM {text}/no such file: the file {me.pw_dir}/no such file does not exist"
        assert error(f"FROM {text}/no such file", Path("/")) == missing
    assert "failed to find user 'nobody-here'" in error("FROM ~nobody-here/x", Path("/"))


@pytest.mark.parametrize("text", ["./no.gguf", "sub/../no", "../no", "/no/no.gguf", "no.gguf", "me/m:tag", ".hidden"])
def test_only_a_path_must_exist(text: str, tmp_path: Path) -> None:
    if not text.startswith(("./", "../", "/")):
        assert local(f"FROM {text}", tmp_path).base == text
    else:
        path = os.path.normpath(tmp_path / text)
        assert error(f"FROM {text}", tmp_path) == f"FROM {text}: the file {path} does not exist"


def test_several_froms_are_one_model(tmp_path: Path) -> None:
    put(tmp_path, "m.gguf", "deep/mmproj.gguf", data=GGUF)
    found = local("FROM m.gguf\nFROM deep/mmproj.gguf\nFROM m.gguf", tmp_path)
    assert found.files == {"m.gguf": tmp_path / "m.gguf", "mmproj.gguf": tmp_path / "deep/mmproj.gguf"}
    put(tmp_path, "deep/m.gguf", data=GGUF)
    assert "two files are named m.gguf" in error("FROM m.gguf\nFROM deep/m.gguf", tmp_path)


def test_adapters(tmp_path: Path) -> None:
    put(tmp_path, "one.gguf", "two.gguf", "b/two.gguf", data=GGUF)
    assert local("FROM a\nADAPTER two.gguf", tmp_path).adapters == {"two.gguf": tmp_path / "two.gguf"}
    several = local("FROM a\nADAPTER one.gguf\nADAPTER two.gguf\nADAPTER one.gguf\nADAPTER b/two.gguf", tmp_path)
    assert several.adapters == {name: tmp_path / name for name in ("one.gguf", "two.gguf", "b/two.gguf")}
    assert "no such file or directory" in error("FROM a\nADAPTER ./missing.gguf", tmp_path)
    for name in ("adapter_model.safetensors", "adapters.safetensors"):
        put(tmp_path / name, name, "adapter_config.json")
        assert set(local(f"FROM a\nADAPTER {name}", tmp_path).adapters) == {name, "adapter_config.json"}
        assert error(f"FROM {name}", tmp_path).startswith("no Modelfile or safetensors files found: ")


def test_a_draft_is_another_file(tmp_path: Path) -> None:
    put(tmp_path, "m.gguf", "d.gguf", data=GGUF)
    (tmp_path / "link.gguf").symlink_to("m.gguf")
    assert local("FROM m.gguf\nDRAFT d.gguf", tmp_path).draft_files == {"d.gguf": tmp_path / "d.gguf"}
    for text in ("FROM m.gguf\nDRAFT m.gguf", "DRAFT link.gguf\nFROM m.gguf"):
        assert error(text, tmp_path).startswith("DRAFT must not reference the same local path as FROM: /")


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (("model.safetensors", "m.gguf"), {"model.safetensors"}),
        (
            ("model-1.safetensors", "2_Dense/model.safetensors", "config.json", "2_Dense/config.json", "a/b/c.json"),
            {"model-1.safetensors", "2_Dense/model.safetensors", "config.json", "2_Dense/config.json"},
        ),
        (("consolidated.safetensors", "pytorch_model.bin"), {"consolidated.safetensors"}),
        (("pytorch_model.bin:zip", "m.gguf:gguf"), {"pytorch_model.bin"}),
        (("pytorch_model-1.bin:zip", "pytorch_model-2.bin:text", "m.gguf:gguf", "x.json"), {"m.gguf"}),
        (("consolidated.pth:zip",), {"consolidated.pth"}),
        (("m.gguf:gguf", "n.gguf:gguf", "config.json"), {"m.gguf", "n.gguf"}),
        (("m.gguf:text", "ggml.bin:gguf"), {"ggml.bin"}),
        (("model.safetensors", "chat_template.jinja", "tokenizer.model:gguf", ".hidden/model.safetensors"), {
            "model.safetensors", "chat_template.jinja", "tokenizer.model",
        }),
    ],
)  # fmt: skip
def test_the_files_of_a_folder(tmp_path: Path, names: tuple[str, ...], taken: set[str]) -> None:
    kinds = {"zip": ZIP, "gguf": GGUF, "text": b"hello"}
    for name in names:
        name, _, kind = name.partition(":")
        put(tmp_path / "model", name, data=kinds.get(kind, b"{}"))
    assert set(local("FROM ./model", tmp_path).files) == taken


def test_folders_without_a_model(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    none, wanted = "no Modelfile or safetensors files found", "model*.safetensors, consolidated*.safetensors, pytorch_"
    assert error("FROM ./empty", tmp_path).startswith(f"{none}: {tmp_path}/empty holds nothing, and none of {wanted}")
    put(tmp_path, "other/weights.safetensors", "other/sub/x", *(f"other/y{i}" for i in range(9)))
    assert f"other holds sub/, weights.safetensors, y0, y1, y2, y3, y4, y5 and 3 more, and none of {wanted}" in error(
        "FROM ./other", tmp_path
    )
    put(tmp_path, "ck/a/m.gguf", "ck/b/pytorch_model.bin", "ck/c/readme")
    assert error("FROM ./ck", tmp_path) == (
        f"{none}: {tmp_path}/ck has no weights of its own, but there are some in a, b: name that folder"
    )
    put(tmp_path, *(f"two/{name}/{file}" for name in "ab" for file in ("model.safetensors", "config.json")))
    message = f"{tmp_path}/two has no weights of its own, but several models, in a, b: name one"
    assert error("FROM ./two", tmp_path) == message
    put(tmp_path, "one/a/model.safetensors", "one/a/config.json")
    assert set(local("FROM ./one", tmp_path).files) == {"model.safetensors", "config.json"}
    put(tmp_path, "bad/model.safetensors", "bad/config.json", data=GGUF)
    message = error("FROM ./bad", tmp_path)
    assert message == f"invalid content type: expected application/octet-stream for {tmp_path}/bad/config.json"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes among the files")
def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert error("FROM ./pipe", tmp_path) == f"{tmp_path}/pipe: not a regular file"
    put(tmp_path, "m/config.json")
    os.mkfifo(tmp_path / "m/model.safetensors")
    assert error("FROM ./m", tmp_path) == f"{tmp_path}/m/model.safetensors: not a regular file"


def test_a_link_must_stay_inside(tmp_path: Path) -> None:
    put(tmp_path, "secret", ".cache/blob", "m/config.json")
    (tmp_path / "m/model.safetensors").symlink_to(tmp_path / "secret")
    assert error("FROM m", tmp_path) == "insecure path: ../secret"
    (tmp_path / "m/model.safetensors").unlink()
    (tmp_path / "m/model.safetensors").symlink_to(tmp_path / ".cache/blob")
    assert error("FROM m", tmp_path) == (
        f"insecure path: ../.cache/blob\n\nUse --local-dir {tmp_path}/m when downloading model to disable caching"
    )
    (tmp_path / "m/model.safetensors").unlink()
    (tmp_path / "m/model.safetensors").symlink_to("config.json")
    assert set(local("FROM m", tmp_path).files) == {"model.safetensors", "config.json"}
