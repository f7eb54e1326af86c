"""What a server inside a command says to whoever typed the command."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from corral import config
from corral.kernel import Kernel
from corral.log import get_logger
from corral_cli.answers import waiting
from corral_cli.busy import Busy
from corral_cli.logs import start_log


@pytest.fixture(autouse=True)
def _log_is_reset() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def start(level: str = "info") -> Busy:
    busy = Busy()
    start_log(Kernel(config.Config(kernel=config.KernelSettings(log_level=level)), []), quiet=busy)
    return busy


def test_a_warning_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    start()
    get_logger("x").info("not.told")
    get_logger("x").warning("a.b", folder="/f", message="this costs time")
    get_logger("x").warning("manifest.skipped", model="m")
    assert capsys.readouterr().err == ("Warning: this costs time\nWarning: manifest.skipped, component: x, model: m\n")


def test_a_failure_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    start()
    try:
        raise KeyError("k")
    except KeyError:
        get_logger("x").exception("request.failed")
    said = capsys.readouterr().err
    assert said.startswith("Error: request.failed, component: x\nTraceback")
    assert "KeyError: 'k'" in said


def test_debugging_shows_the_log_itself(capsys: pytest.CaptureFixture[str]) -> None:
    start("debug")
    get_logger("x").debug("told")
    assert '"event": "told"' in capsys.readouterr().err


def test_compiling_is_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    busy = start()
    heard: list[str] = []
    with busy.listening(heard.append), Busy().listening(heard.append):
        get_logger("kernels").info("kernels.compiling", count=3)
        get_logger("kernels").info("other")
        get_logger("kernels").info("kernels.compiled", count=3)
    get_logger("kernels").info("kernels.compiling", count=3)
    assert heard == ["compiling kernels for this processor, once for each new weight type", ""]
    assert capsys.readouterr().err == ""


def test_compiling_is_told_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with waiting(start()):
        get_logger("kernels").info("kernels.compiling", count=3)
        get_logger("kernels").info("kernels.compiled", count=3)
    assert capsys.readouterr().err == "compiling kernels for this processor, once for each new weight type\n"


def test_an_unwritable_kernel_cache_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from corral_engine.native import objects

    monkeypatch.setattr(objects, "compile_kernel", lambda name: b"code")
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    start()
    for _ in range(2):
        assert objects.object_code(["a:b", "a:c"], blocked / "kernels", 1) == {"a:b": b"code", "a:c": b"code"}
    assert capsys.readouterr().err == (
        f"Warning: compiled kernels cannot be kept in {blocked / 'kernels'} (Not a directory), "
        "so every start compiles them again\n"
    )
