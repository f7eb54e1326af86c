"""`corral bench` and `corral doctor`, with every plugin on, on a tiny model and a store of their own."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from corral import CorralError, RunnerSettings
from corral.__main__ import main
from corral.log import get_logger
from corral_cli import bench, bench_peer, doctor
from corral_cli.hookspecs import Finding
from corral_engine import memory
from corral_engine.checks import MachineCheck
from corral_engine.engine import CorralEngine
from corral_engine.plugin import EngineConfig

sys.path.insert(0, str(Path(__file__).parent.parent / "corral_engine"))

import tiny_models


@pytest.fixture
def corral(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """`corral(*argv)`: one command line; the exit code.  The store is `tmp_path / "models"`."""
    for name in ("CORRAL_HOST", "OLLAMA_HOST", "CORRAL_CONFIG", "OLLAMA_MODELS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("CORRAL_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("CORRAL_HOST", "127.0.0.1:1")
    monkeypatch.setenv("CORRAL_PLUGINS__ENGINE__KERNELS", "numpy")

    def call(*argv: str) -> int:
        monkeypatch.setattr("sys.argv", ["corral", *argv])
        return main()

    return call


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return tiny_models.write_gguf(tmp_path / "tiny.gguf", tiny_models.MODELS["llama"])


def test_bench_prints_a_row_for_each_size_and_thread_count(
    corral: Callable[..., int], tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert corral("bench", str(tiny), "-p", "8,16", "-n", "4", "-t", "1,2", "-r", "2") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "kernels" in lines[0]
    assert "llama" in lines[1]
    cells = [line.split()[:2] for line in lines[4:]]
    assert cells == [[test, threads] for threads in "12" for test in ("pp8", "pp16", "tg4")]
    assert all(float(line.split()[2]) > 0 for line in lines[4:])


def test_bench_as_json_holds_every_sample(
    corral: Callable[..., int], tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert corral("bench", str(tiny), "-p", "0", "-n", "4", "-r", "3", "-t", "1", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    (row,) = told["results"]
    assert (row["test"], row["threads"], len(row["samples"]), row["against"]) == ("tg4", 1, 3, [])
    assert told["architecture"] == "llama"
    assert told["unit"] == "tokens/s"


def test_bench_says_that_it_compiles_beside_its_json(
    corral: Callable[..., int], tiny: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = CorralEngine.open

    async def compiling(self: CorralEngine, weights: Any, settings: RunnerSettings) -> Any:
        get_logger("kernels").info("kernels.compiling", count=3)
        return await opened(self, weights, settings)

    monkeypatch.setattr(CorralEngine, "open", compiling)
    assert corral("bench", str(tiny), "-p", "8", "-n", "0", "-r", "1", "-t", "1", "--json") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["results"][0]["test"] == "pp8"
    assert said.err == "compiling kernels for this processor, once for each new weight type\n"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("no-such-model",), "model 'no-such-model:latest' not found"),
        (("no//such",), "no//such is neither a file nor the name of a model"),
        (("x", "-p", "0", "-n", "0"), "nothing to measure"),
        (("x", "-r", "0"), "nothing to measure"),
        (("x", "-p", "many"), 'invalid argument "many"'),
        (("x", "-t", "-1"), 'invalid argument "-1"'),
    ],
)
def test_bench_says_what_is_wrong(
    corral: Callable[..., int], capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], said: str
) -> None:
    assert corral("bench", *argv) == 1
    assert said in capsys.readouterr().err


def test_bench_refuses_a_file_that_no_loader_reads(
    corral: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text").write_text("hello")
    assert corral("bench", str(tmp_path / "text")) == 1
    assert "no loader here reads it" in capsys.readouterr().err


def test_bench_against_a_peer_that_is_not_installed(
    corral: Callable[..., int], tiny: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert corral("bench", str(tiny), "--against", "llamacpp") == 1
    assert "pip install xllamacpp" in capsys.readouterr().err
    with pytest.raises(CorralError, match="pip install xllamacpp"):
        bench_peer.LlamaCpp(tiny, 1, 64)


def test_bench_against_a_peer_prints_ratios(
    corral: Callable[..., int], tiny: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Peer:
        def measure(self, token_ids: Any, n_predict: int) -> tuple[float, float]:
            return 0.5, 0.25

        def close(self) -> None:
            closed.append(self)

    closed: list[Peer] = []
    monkeypatch.setattr(bench, "_require_peer", lambda: None)
    monkeypatch.setattr(bench, "_open_peer", lambda *_: Peer())
    assert corral("bench", str(tiny), "-p", "8", "-n", "4", "-r", "2", "--against", "llamacpp") == 0
    header, *rows = capsys.readouterr().out.splitlines()[3:]
    assert header.split() == ["TEST", "THREADS", "CORRAL", "TOK/S", "LLAMA.CPP", "TOK/S", "RATIO"]
    assert [row.split()[5] for row in rows] == ["0.5", "0.2"]
    assert all(float(row.split()[-1]) > 1 for row in rows)
    assert len(closed) == 1


async def test_a_decode_is_timed_without_guessing(tiny: Path) -> None:
    from corral_engine.engine import CorralEngine
    from corral_gguf.loader import GgufLoader

    weights = GgufLoader().open(tiny)
    runner = await CorralEngine(EngineConfig(kernels="numpy")).open(weights, RunnerSettings(kv_tokens=128))
    prefill, decode = await bench.timed(runner, (3, 4, 5), 12)
    assert prefill > 0
    assert decode > 0
    await runner.close()
    weights.close()


def test_doctor_finds_a_healthy_installation(corral: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert corral("doctor") == 0
    out = capsys.readouterr().out
    for said in (
        "plugins",
        "engine",
        "threads",
        "memory",
        "0 models",
        "free for",
        "none at 127.0.0.1:1",
        'kernels = "auto"',
    ):
        assert said in out
    assert "BROKEN" not in out


def test_doctor_finds_what_is_broken(
    corral: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blobs = tmp_path / "models" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / ("sha256-" + "0" * 64)).write_bytes(b"not of that digest")
    assert corral("doctor", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    (broken,) = [finding for finding in found if finding["state"] == "broken"]
    assert broken["check"] == "store"
    assert broken["advice"]


def test_a_store_that_cannot_be_opened_is_a_finding_among_the_others(
    corral: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "models").write_text("not a folder")
    assert corral("doctor", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    first = found[0]
    assert (first["check"], first["state"]) == ("start", "broken")
    assert str(tmp_path / "models") in first["fact"]
    assert {"plugins", "engine", "server"} <= {finding["check"] for finding in found}


@pytest.mark.parametrize(
    ("plugin", "kind"),
    [
        ("TOKENIZERS", "tokenizer"),
        ("TEMPLATES", "template engine"),
        ("GGUF", "loader"),
        ("ENGINE", "engine"),
        ("STORE", "store"),
    ],
)
def test_a_kind_that_is_missing_because_its_plugin_is_off_is_a_finding(
    corral: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    plugin: str,
    kind: str,
) -> None:
    monkeypatch.setenv(f"CORRAL_PLUGINS__{plugin}__ENABLED", "0")
    assert corral("doctor", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    (missing,) = [finding for finding in found if finding["fact"].endswith(f"there is no {kind}")]
    assert missing["state"] == "broken"
    assert f"plugins that are off: {plugin.lower()}" in missing["advice"]


async def test_a_check_that_cannot_look_is_broken_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    from corral.config import Config
    from corral.kernel import Kernel

    async def fail(self: MachineCheck, kernel: Kernel) -> list[Finding]:
        raise CorralError("the cable is out")

    monkeypatch.setattr(MachineCheck, "examine", fail)
    kernel = Kernel(Config())
    ((name, finding),) = await doctor.examine(kernel, only="engine")
    assert (name, finding.state, finding.fact) == ("engine", "broken", "the cable is out")


def findings_of(config: EngineConfig) -> list[Finding]:
    import asyncio

    return list(asyncio.run(MachineCheck(config).examine(None)))  # type: ignore[arg-type]  # it asks nothing of it


def test_the_machine_as_the_engine_sees_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    processor, cache, threads, _ = findings_of(EngineConfig())
    assert processor.values["variant"] in processor.fact
    assert "is empty" in cache.fact
    assert threads.values["threads"] >= 1
    monkeypatch.setenv("CORRAL_SIMD", "portable")
    assert "CORRAL_SIMD forces it" in findings_of(EngineConfig())[0].advice
    assert findings_of(EngineConfig(n_threads=4096))[2].state == "warning"
    (tmp_path / "file").write_text("no folder can be made below a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    unwritable = findings_of(EngineConfig())[1]
    assert (unwritable.state, "cannot be written" in unwritable.fact) == ("warning", True)
    monkeypatch.setattr(memory, "group_bytes", lambda: 1 << 20)
    short = findings_of(EngineConfig())[-1]
    assert short.state == "warning"
    assert "1 MiB left in its control group" in short.fact
