"""The plugin of the author guide, built and installed as its own distribution, really limits answers."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

GUIDE = (Path(__file__).resolve().parents[2] / "plugins" / "README.md").read_text(encoding="utf-8")
PROGRAM = """
import asyncio, json, sys
from corral import ChatRequest, Options, Piece
from corral.config import load
from corral.kernel import Kernel

kernel = Kernel(load(environ=dict(CORRAL_PLUGINS__BREVITY__MAX_TOKENS="64", XDG_CONFIG_HOME="/nowhere")))
kernel.plugins.require()
row = next(row for row in kernel.plugins.rows if row.name == "brevity")
seen = []

async def answer(request):
    seen.append(request.options.num_predict)
    yield Piece(text="ok")

async def main():
    for asked in (-1, 10, 1000):
        request = ChatRequest(model="m", options=Options(num_predict=asked))
        async for _ in kernel.interceptors["brevity"].wrap(request, answer):
            pass

asyncio.run(main())
print(json.dumps([row.state, row.origin, row.note, seen]))
"""


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    assert found, f"the guide has no {language} block"
    return found[1]


def test_the_guides_plugin_installs_as_its_own_distribution_and_runs(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "installed"
    source.mkdir()
    (source / "corral_brevity.py").write_text(block("python"), encoding="utf-8")
    (source / "pyproject.toml").write_text(block("toml"), encoding="utf-8")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*install, "--disable-pip-version-check", "--target", str(target), str(source)], check=True)
    environment = {**os.environ, "PYTHONPATH": str(target)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["on", "corral-brevity 1", "max_tokens=64", [64, 10, 64]]
