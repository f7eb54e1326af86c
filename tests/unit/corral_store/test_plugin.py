"""The plugin inside a kernel: corral_stores, corral_parse_ref and corral_lifespan, which opens and tidies."""

import os
import time
from pathlib import Path

import pytest

from corral import BadRequest
from corral.config import Config, KernelSettings
from corral.kernel import Kernel
from corral.plugins import Found
from corral.testing.store_contract import digest_of
from corral_store.plugin import Plugin


def kernel(**settings: object) -> Kernel:
    config = Config(kernel=KernelSettings(**settings))  # type: ignore[arg-type]
    return Kernel(config, [Found("store", "test", lambda: Plugin, built_in=True)])


def old_blob(root: Path) -> Path:
    blobs = root / "blobs"
    blobs.mkdir(parents=True)
    path = blobs / digest_of(b"old")
    path.write_bytes(b"old")
    os.utime(path, (time.time() - 7200,) * 2)
    return path.with_name(path.name.replace(":", "-"))


@pytest.mark.parametrize("noprune", [False, True])
async def test_the_lifespan_migrates_and_prunes(tmp_path: Path, noprune: bool) -> None:
    blob = old_blob(tmp_path)
    async with kernel(models=str(tmp_path), noprune=noprune).live() as live:
        assert live.store.root == tmp_path
        assert blob.exists() == noprune


async def test_the_home_folder_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    async with kernel().live() as live:
        assert live.store.root == tmp_path / ".ollama" / "models"


def test_names_are_parsed() -> None:
    assert kernel().parse_ref("me/m").name == "me/m:latest"
    with pytest.raises(BadRequest):
        kernel().parse_ref("bad name!")
