"""F44: a process that dies at any call leaves the old model or the new one, never half of one."""

import os
import subprocess
import sys
from pathlib import Path

from corral.testing.store_contract import model, name
from corral_store.store import OllamaStore

PROGRAM = """
import asyncio, os, sys
from pathlib import Path
from corral.testing.store_contract import model, name
from corral_store.store import OllamaStore

left = int(sys.argv[2])

def dying(call):
    def wrapper(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os._exit(9)
        return call(*args, **kwargs)
    return wrapper

store = OllamaStore()
store.open(Path(sys.argv[1]))
os.fsync = dying(os.fsync)
for method in ("replace", "unlink", "write_bytes", "mkdir", "rmdir"):
    setattr(Path, method, dying(getattr(Path, method)))

async def main():
    await model(store, name("m"), system="new", template="new")
    await store.delete(name("gone"))
    await store.prune()

asyncio.run(main())
"""


async def test_f44_dying_anywhere_leaves_a_whole_store(tmp_path: Path) -> None:
    for nth in range(1, 200, 3):
        root = tmp_path / str(nth)
        store = OllamaStore()
        store.open(root)
        await model(store, name("m"), system="old")
        await model(store, name("gone", namespace="me"), system="gone")
        await store.copy(name("gone", namespace="me"), name("gone"))
        code = subprocess.run(  # noqa: ASYNC221  nothing else is to run meanwhile
            [sys.executable, "-c", PROGRAM, str(root), str(nth)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=False,
        ).returncode
        assert not await store.doctor()
        assert store.get(name("m")).system in ("old", "new")
        assert store.get(name("gone", namespace="me")).system == "gone"
        if code == 0:
            assert store.get(name("m")).system == "new"
            assert nth > 10
            return
        assert code == 9
    raise AssertionError("the program never came to its end")
