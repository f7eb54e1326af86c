"""The checkpoints of `tests/fixtures`, converted; and what the reference programs compute with them."""

import importlib
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from corral import AdapterSpec, ModelInfo, Progress, RunnerSettings, Weights
from corral.config import Config, KernelSettings
from corral.kernel import Kernel
from corral.plugins import Found
from corral_engine.batching import Feed, make_batch
from corral_engine.engine import CorralEngine
from corral_engine.lora import AdapterStore
from corral_engine.model import Model
from corral_engine.plugin import EngineConfig
from corral_gguf.loader import GgufLoader
from corral_modelfile.hookspecs import Converted
from corral_safetensors.plugin import SafetensorsConfig, SafetensorsConverter

sys.path.insert(0, str(Path(__file__).parent))  # tiny_checkpoints is shared by the tests of this folder

from tiny_checkpoints import CHECKPOINTS, checkpoint

PLUGINS = (
    "engine",
    "embeddings",
    "generation",
    "gguf",
    "modelfile",
    "pypi",
    "safetensors",
    "store",
    "templates",
    "tokenizers",
)

Convert = Callable[..., Converted]


@pytest.fixture(scope="session")
def reference() -> dict[str, NDArray[Any]]:
    with np.load(CHECKPOINTS / "reference.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def token_ids() -> dict[str, dict[str, list[int]]]:
    ids: dict[str, dict[str, list[int]]] = json.loads((CHECKPOINTS / "token_ids.json").read_text(encoding="utf-8"))
    return ids


@pytest.fixture
def convert(tmp_path: Path) -> Convert:
    """Convert files, or a checkpoint by name: `convert("llama", base=…)`."""

    def run(
        source: str | Mapping[str, Path],
        *,
        base: ModelInfo | None = None,
        config: SafetensorsConfig = SafetensorsConfig(),  # noqa: B008  a frozen value
        progress: Callable[[Progress], None] = lambda _: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Converted:
        folder = tmp_path / f"converted-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        files = checkpoint(source) if isinstance(source, str) else source
        converter = SafetensorsConverter(config)
        return converter.convert(files, folder, base=base, progress=progress, should_stop=should_stop)

    return run


@pytest.fixture
def opened(convert: Convert) -> Iterator[Callable[..., Weights]]:
    """The converted file, open."""
    open_files: list[Weights] = []

    def run(source: str | Mapping[str, Path], **options: Any) -> Weights:
        weights = GgufLoader().open(convert(source, **options).weights[0])
        open_files.append(weights)
        return weights

    yield run
    for weights in open_files:
        weights.close()


Logits = Callable[..., NDArray[np.float32]]


@pytest.fixture
def logits() -> Iterator[Logits]:
    """All rows for some ids, computed by this engine in numpy with float32 keys and values."""
    models: list[Model] = []

    def run(weights: Weights, ids: list[int], *adapters: Path, hidden: bool = False) -> NDArray[np.float32]:
        engine = CorralEngine(EngineConfig(kernels="numpy"))
        model = engine.load(weights, RunnerSettings(kv_type_k="f32", kv_type_v="f32", kv_tokens=128))
        models.append(model)
        store = AdapterStore(weights.info, (GgufLoader(),))
        chosen = store.load([AdapterSpec(path=str(path)) for path in adapters])
        feed = Feed(ids, 0, list(range(4)), len(ids), chosen)
        return model.executor.run(make_batch([feed]), hidden=hidden).copy()

    yield run
    for model in models:
        model.close()


@pytest.fixture
async def kernel(tmp_path: Path) -> AsyncIterator[Kernel]:
    def found(name: str) -> Found:
        return Found(name, "test", lambda: importlib.import_module(f"corral_{name}.plugin").Plugin, built_in=True)

    settings = KernelSettings(models=str(tmp_path / "models"))
    async with Kernel(Config(kernel=settings), [found(name) for name in PLUGINS]).live() as live:
        yield live
