"""llama.cpp as the peer of every comparison: its own server, in process, on the same file (`pip install xllamacpp`)."""

import importlib.metadata
import json
import os
import platform
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models import cache_folder


def flash_attention_off() -> dict[str, Any]:
    """For `Peer(…, **flash_attention_off())`: the plain attention kernels."""
    import xllamacpp

    return {"flash_attn_type": xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED}


class Peer:
    """A llama.cpp server on a free loopback port.  KV f16, no cache of old prompts unless asked, `n_threads`
    threads."""

    def __init__(
        self, model: Path, *, n_threads: int = 2, num_ctx: int = 4096, n_parallel: int = 1, **more: Any
    ) -> None:
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(model)
        params.n_ctx = num_ctx * n_parallel
        params.n_parallel = n_parallel
        params.cpuparams.n_threads = n_threads
        params.cpuparams_batch.n_threads = n_threads
        params.port = 0
        params.verbosity = -1
        params.cache_ram_mib = 0
        for name, value in more.items():
            setattr(params, name, value)
        self._server = xllamacpp.Server(params)
        self.url = self._server.listening_address

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """POST JSON, return JSON."""
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as response:
            return json.load(response)

    def tokenize(self, text: str) -> list[int]:
        """Token ids with llama.cpp's defaults (no BOS, special tokens recognised)."""
        return list(self.post("/tokenize", {"content": text})["tokens"])

    def complete(self, token_ids: Sequence[int], **options: Any) -> dict[str, Any]:
        """One greedy completion of a prompt given as token ids."""
        body = {"prompt": list(token_ids), "temperature": 0, "return_tokens": True, "top_k": 1, **options}
        return dict(self.post("/completion", body))


def child_environment() -> dict[str, str]:
    """The environment of processes under test: Python finds its byte code compiled, as after an installation."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**environment, "PYTHONPYCACHEPREFIX": str(cache_folder() / "byte-code")}


def versions() -> str:
    """Machine and versions, for the head of every committed result."""
    names = ("xllamacpp", "numpy", "numba", "llvmlite")
    parts = [f"{name} {importlib.metadata.version(name)}" for name in names]
    return f"{cpu_name()}, {platform.system()}, Python {platform.python_version()}, " + ", ".join(parts)


def cpu_name() -> str:
    """The processor as the system names it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
