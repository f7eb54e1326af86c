"""Tiny models, opened; and generation without a thread or an event loop."""

import sys
from collections.abc import Callable, Iterator, Sequence as Items
from pathlib import Path
from typing import Any, Literal

import pytest

from corral import CorralError, DoneEvent, Event, Job, RunnerSettings, TokensEvent, Weights
from corral_engine.embedding import EmbedTask, Vector
from corral_engine.engine import CorralEngine
from corral_engine.fairness import Ledger
from corral_engine.model import Model
from corral_engine.plugin import EngineConfig
from corral_engine.scheduler import Scheduler, SchedulerSettings
from corral_engine.sequence import Sequence
from corral_gguf.loader import GgufLoader

sys.path.insert(0, str(Path(__file__).parent))  # tiny_models is shared with the generator of the fixtures

import tiny_models

Open = Callable[..., Model]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Weights]:
    """Write a tiny model and open the file: `write("llama", keys={…})`."""

    def write_tiny(name: str = "llama", **changes: Any) -> Weights:
        path = tmp_path / f"{name}-{len(list(tmp_path.iterdir()))}.gguf"
        return GgufLoader().open(
            tiny_models.write_gguf(path, (tiny_models.MODELS | tiny_models.OTHERS)[name], **changes)
        )

    return write_tiny


@pytest.fixture
def open_model(write: Callable[..., Weights]) -> Iterator[Open]:
    """Open a tiny model with float32 K and V in numpy: `open_model("llama", n_parallel=2, kv_tokens=256)`."""
    opened: list[Model] = []

    def open_tiny(
        name: str = "llama", *, config: EngineConfig | None = None, storage: str = "F32", **settings: Any
    ) -> Model:
        settings = {"kv_type_k": "f32", "kv_type_v": "f32", **settings}
        engine = CorralEngine(config or EngineConfig(kernels="numpy"))
        model = engine.load(write(name, storage=storage), RunnerSettings(**settings))
        opened.append(model)
        return model

    yield open_tiny
    for model in opened:
        model.close()


def embed(model: Model, inputs: Items[tuple[int, ...]], max_rows: int = 512) -> tuple[Vector, ...]:
    """Vectors of one request that has the model to itself."""
    results: list[tuple[Vector, ...] | CorralError] = []
    ledger = Ledger()
    ledger.arrive("")
    model.embedder.submit(EmbedTask(inputs, results.append))
    while model.embedder.tasks:
        assert model.embedder.step(max_rows, ledger)
    (vectors,) = results
    assert isinstance(vectors, tuple)
    return vectors


class ListOutbox:
    """Keeps the events; `capacity` makes a slow reader."""

    def __init__(self, capacity: int = 1 << 30) -> None:
        self.items: list[Event | CorralError] = []
        self.capacity = capacity

    @property
    def is_full(self) -> bool:
        return len(self.items) >= self.capacity

    def put(self, item: Event | CorralError) -> None:
        self.items.append(item)

    @property
    def tokens(self) -> list[int]:
        return [token for item in self.items if isinstance(item, TokensEvent) for token in item.token_ids]

    @property
    def end(self) -> DoneEvent:
        last = self.items[-1]
        assert isinstance(last, DoneEvent), last
        return last


class Bench:
    """A scheduler driven by hand."""

    def __init__(self, model: Model, **settings: Any) -> None:
        self.model = model
        self.scheduler = Scheduler(model.executor, model.pool, SchedulerSettings(**settings), model.embedder)

    def submit(self, job: Job, outbox: ListOutbox | None = None) -> tuple[Sequence, ListOutbox]:
        outbox = outbox or ListOutbox()
        sequence = self.model.sequence(job, outbox)
        self.scheduler.submit(sequence)
        return sequence, outbox

    def finish(self) -> None:
        """Step until nothing is left to do."""
        while self.scheduler.step():
            pass
        assert not self.scheduler.active
        assert not self.scheduler.waiting

    def run(self, *jobs: Job) -> list[ListOutbox]:
        """All jobs at once, to their end."""
        outboxes = [self.submit(job)[1] for job in jobs]
        self.finish()
        return outboxes

    @property
    def is_clean(self) -> bool:
        """Whether every page is free or evictable."""
        return self.model.pool.n_available() == self.model.pool.n_pages


MakeBench = Callable[..., Bench]


@pytest.fixture
def bench(open_model: Open) -> MakeBench:
    """`bench("llama", n_parallel=4, kv_tokens=256)`: settings of the model by name, all others are the scheduler's."""

    def make(
        name: str = "llama",
        *,
        kernels: Literal["numpy", "native"] = "numpy",
        speculation: int = 0,
        kv_tokens: int = 1024,
        storage: str = "F32",
        kv_type: str = "f32",
        **settings: Any,
    ) -> Bench:
        config = EngineConfig(kernels=kernels, speculation=speculation, loop_tokens=0)
        kinds = {"kv_type_k": kv_type, "kv_type_v": kv_type}
        model = open_model(name, config=config, kv_tokens=kv_tokens, storage=storage, **kinds)
        return Bench(model, **{"n_parallel": 4, **settings})

    return make
