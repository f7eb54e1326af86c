"""Folders to work in: kept while their makers live, whatever their age, and gone once they do not."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from corral_store.store import OllamaStore
from corral_store.work import WorkFolder

PROGRAM = """
import sys, time
from pathlib import Path
from corral_store.work import WorkFolder

folder = WorkFolder(Path(sys.argv[1]), "create-")
(folder.path / "part").write_bytes(b"half of it")
print(folder.path, flush=True)
time.sleep(60)
"""


@pytest.fixture
def store(tmp_path: Path) -> OllamaStore:
    store = OllamaStore()
    store.open(tmp_path)
    return store


def age(root: Path) -> None:
    for path in (root / "work").rglob("*"):
        os.utime(path, (time.time() - 7200,) * 2)


async def test_a_folder_goes_with_its_maker_and_not_before(store: OllamaStore) -> None:
    with subprocess.Popen(  # noqa: ASYNC220  its lines are waited for
        [sys.executable, "-c", PROGRAM, str(store.root)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        theirs = Path(other.stdout.readline().strip())
        mine = WorkFolder(store.root, "create-")
        age(store.root)
        assert (await store.sweep()).n_bytes == 0
        assert theirs.is_dir()
        assert mine.path.is_dir()
        other.kill()
    assert (await store.sweep(blobs=False)).n_bytes == len("half of it")
    assert not theirs.exists()
    assert [mine.path.parent] == list((store.root / "work").iterdir())
    mine.remove()
    assert not list((store.root / "work").iterdir())


async def test_the_next_maker_takes_away_what_was_left(store: OllamaStore) -> None:
    left = WorkFolder(store.root, "create-")
    left._owner.close()  # as the system does for a process that dies
    following = WorkFolder(store.root, "create-")
    assert [following.path.parent] == list((store.root / "work").iterdir())
    following.remove()


async def test_a_folder_without_an_owner_is_spared_for_an_hour(store: OllamaStore) -> None:
    part = store.root / "work" / "download" / "part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"12345")
    assert (await store.sweep()).n_bytes == 0
    age(store.root)
    part.touch()
    assert (await store.sweep()).n_bytes == 0
    age(store.root)
    assert (await store.sweep()).n_bytes == 5
    assert not part.parent.exists()
