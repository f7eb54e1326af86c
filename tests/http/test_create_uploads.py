"""How the files of `corral create` get to the server, and that none of them stays there for nothing."""

import os
import shutil
from pathlib import Path

import pytest

import corral_cli.plugin
import corral_gguf.plugin
import corral_modelfile.plugin
import corral_quantizers.plugin
import corral_safetensors.plugin
import corral_store.plugin
from corral.testing.fixtures import found

from .creating import *  # noqa: F403  fixtures are found by name
from .creating import CHECKPOINTS, Corral, ask, files, small_model


async def test_files_that_were_only_converted_do_not_stay(kernel, corral: Corral) -> None:
    shutil.copytree(CHECKPOINTS / "llama", "some_model")
    Path("Modelfile").write_text("FROM ./some_model/\n")
    done = await corral("create", "custom-st")
    assert done.code == 0, done.err
    assert len(files(kernel.store.root / "blobs")) == 1 + len(kernel.find("custom-st").layers)


@pytest.fixture
def beside(corral: Corral, kernel, monkeypatch: pytest.MonkeyPatch) -> Corral:
    """`corral` with the server's store for its own."""
    packages = (corral_cli, corral_gguf, corral_modelfile, corral_quantizers, corral_safetensors, corral_store)
    local = found([package.plugin.Plugin for package in packages])
    monkeypatch.setattr("corral.kernel.discover", lambda: local)
    monkeypatch.setenv("OLLAMA_MODELS", str(kernel.store.root))
    return corral


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no owner here")
async def test_a_file_is_taken_in_by_reference(client, kernel, beside: Corral, monkeypatch) -> None:
    path = small_model(Path("m.gguf")).absolute()
    Path("Modelfile").write_text("FROM ./m.gguf\n")
    done = await beside("create", "linked", "--link")
    assert done.code == 0, done.err
    assert "sharing file sha256:" in done.err
    assert "copying file" not in done.err
    assert kernel.find("linked").weights[0].samefile(path)
    assert (await ask(client, "linked", prompt="abc"))["eval_count"] > 0
    await client.delete("/api/delete", json={"model": "linked"})
    assert (path.stat().st_nlink, files(kernel.store.root / "blobs")) == (1, {})
    # without --link only a file system that shares blocks will do, for that survives an edit
    done = await beside("create", "copied")
    assert "copying file sha256:" in done.err or "sharing file" in done.err
    assert not kernel.find("copied").weights[0].samefile(path)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no owner here")
async def test_a_reference_is_taken_back_when_create_fails(kernel, beside: Corral) -> None:
    path = small_model(Path("m.gguf"), {"general.type": "adapter"}).absolute()
    Path("Modelfile").write_text("FROM ./m.gguf\n")
    done = await beside("create", "m", "--link")
    assert (done.code, "sharing file" in done.err) == (1, True)
    assert (path.stat().st_nlink, files(kernel.store.root / "blobs")) == (1, {})


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no owner here")
async def test_what_is_only_quantized_is_neither_sent_nor_kept(kernel, beside: Corral) -> None:
    path = small_model(Path("m.gguf")).absolute()
    Path("Modelfile").write_text("FROM ./m.gguf\n")
    done = await beside("create", "m", "-q", "q8_0")
    assert (done.code, "sharing file" in done.err, "copying file" in done.err) == (0, True, False)
    assert kernel.find("m").config.quantization == "Q8_0"
    assert (path.stat().st_nlink, len(files(kernel.store.root / "blobs"))) == (1, 2)
    done = await beside("create", "same", "-q", "f16")  # nothing to do: the file itself is the model
    assert (done.code, "sharing file" in done.err) == (0, True)
    assert not kernel.find("same").weights[0].samefile(path)
    assert kernel.find("same").weights[0].read_bytes() == path.read_bytes()
    assert path.stat().st_nlink == 1


async def test_another_store_is_never_written_to(kernel, beside: Corral, tmp_path: Path, monkeypatch) -> None:
    small_model(Path("m.gguf"))
    Path("Modelfile").write_text("FROM ./m.gguf\n")
    (tmp_path / "other/blobs").mkdir(parents=True)
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "other"))
    done = await beside("create", "m", "--link")
    assert (done.code, "copying file sha256:" in done.err) == (0, True)
    assert not files(tmp_path / "other")
    assert kernel.find("m").weights
