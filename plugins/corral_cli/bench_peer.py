"""llama.cpp beside us: its own server in this process, on the same file, through the package xllamacpp."""

import json
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from corral import CorralError


class LlamaCpp:
    """One llama.cpp server on a free loopback port.  Raises CorralError when the package cannot be imported."""

    name = "llamacpp"

    def __init__(self, model: Path, n_threads: int, num_ctx: int) -> None:
        try:
            import xllamacpp
        except ImportError as err:
            raise CorralError(f"--against llamacpp needs the package xllamacpp: pip install xllamacpp ({err})") from err
        params = xllamacpp.CommonParams()
        params.model.path, params.n_ctx, params.n_parallel = str(model), num_ctx, 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = n_threads
        params.port, params.verbosity, params.cache_ram_mib = 0, -1, 0
        self._server = xllamacpp.Server(params)

    def measure(self, token_ids: Sequence[int], n_predict: int) -> tuple[float, float]:
        """(prefill, decode) in tokens a second, as llama.cpp itself times them; blocking."""
        body = {
            "prompt": list(token_ids), "n_predict": n_predict, "temperature": 0, "top_k": 1, "cache_prompt": False,
            "ignore_eos": True,
        }  # fmt: skip
        request = urllib.request.Request(
            f"{self._server.listening_address}/completion",
            json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as response:
            timings: dict[str, Any] = json.load(response)["timings"]
        return timings["prompt_per_second"], timings["predicted_per_second"]

    def close(self) -> None:
        """End the server."""
        del self._server
