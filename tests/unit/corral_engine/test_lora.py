"""Adapters: read, checked, applied as if merged."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import tiny_models
from numpy.typing import NDArray

from conftest import MakeBench
from corral import AdapterSpec, CorralError, FormatError, Job, Options, Unsupported
from corral_engine.batching import NO_ADAPTERS, Feed, make_batch
from corral_engine.engine import CorralEngine
from corral_engine.lora import AdapterStore
from corral_engine.model import Model
from corral_engine.plugin import EngineConfig
from corral_engine.program import AdapterSet
from corral_gguf.loader import GgufLoader

Array = NDArray[np.float32]
TARGETS = ("blk.0.attn_q.weight", "blk.1.ffn_down.weight", "output.weight")


def adapter_tensors(seed: int = 1, rank: int = 4, targets: tuple[str, ...] = TARGETS) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    base, tensors = tiny_models.MODELS["llama"].tensors(), {}
    for name in targets:
        out, into = base[name].shape
        tensors[f"{name}.lora_a"] = rng.standard_normal((rank, into)).astype(np.float32) * 0.1
        tensors[f"{name}.lora_b"] = rng.standard_normal((out, rank)).astype(np.float32)
    return tensors


def write_adapter(
    path: Path, tensors: Mapping[str, Array], *, alpha: float = 8.0, architecture: str = "llama", kind: str = "adapter"
) -> AdapterSpec:
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type(kind)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    for name, array in tensors.items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return AdapterSpec(path=str(path))


def merged(tensors: Mapping[str, Array], scale: float) -> dict[str, Array]:
    base = tiny_models.MODELS["llama"].tensors()
    for name in TARGETS:
        base[name] = base[name] + np.float32(scale) * tensors[f"{name}.lora_b"] @ tensors[f"{name}.lora_a"]
    return base


def logits(model: Model, adapters: AdapterSet = NO_ADAPTERS) -> Array:
    feed = Feed(tiny_models.SHORT, 0, [0], len(tiny_models.SHORT), adapters)
    return model.executor.run(make_batch([feed])).copy()


@pytest.fixture
def model(open_model: Callable[..., Model]) -> Model:
    made = open_model("llama", kv_tokens=256)
    made.adapters.loaders = [GgufLoader()]
    return made


def test_an_adapter_equals_merged_weights(model: Model, tmp_path: Path, write: Callable[..., Any]) -> None:
    tensors = adapter_tensors()
    spec = write_adapter(tmp_path / "a.gguf", tensors)
    for user_scale in (1.0, 0.25, -1.0):
        adapters = model.adapters.load((AdapterSpec(path=spec.path, scale=user_scale),))
        weights = write("llama", tensors=merged(tensors, user_scale * 8.0 / 4))
        other = CorralEngine(EngineConfig(kernels="numpy", kv_type_k="f32", kv_type_v="f32")).load(
            weights, model_settings()
        )
        assert np.abs(logits(model, adapters) - logits(other)).max() < 1e-4
        other.close()


def model_settings() -> Any:
    from corral import RunnerSettings

    return RunnerSettings(kv_tokens=64)


def test_adapters_add_up_and_alpha_zero_means_no_scale(model: Model, tmp_path: Path) -> None:
    one = write_adapter(tmp_path / "1.gguf", adapter_tensors(1), alpha=0.0)
    two = write_adapter(tmp_path / "2.gguf", adapter_tensors(2), alpha=0.0)
    both = model.adapters.load((one, two))
    stacked = {
        name: np.concatenate([adapter_tensors(1)[name], adapter_tensors(2)[name]], axis=0 if name.endswith("a") else 1)
        for name in adapter_tensors(1)
    }
    together = model.adapters.load((write_adapter(tmp_path / "3.gguf", stacked, alpha=0.0),))
    assert np.abs(logits(model, both) - logits(model, together)).max() < 1e-4


def test_an_embedding_adapter_changes_the_rows_it_names(model: Model, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    a = rng.standard_normal((tiny_models.V, 2)).astype(np.float32)
    b = rng.standard_normal((tiny_models.E, 2)).astype(np.float32)
    tensors = {"token_embd.weight.lora_a": a, "token_embd.weight.lora_b": b}
    adapters = model.adapters.load((write_adapter(tmp_path / "e.gguf", tensors, alpha=0.0),))
    base = tiny_models.MODELS["llama"].tensors()["token_embd.weight"]
    seen: dict[str, Array] = {}
    executor: Any = model.executor
    write_buffer = executor._write

    def spy(buffer: Any, values: Array) -> None:
        seen.setdefault(buffer.name, values.copy())
        write_buffer(buffer, values)

    executor._write = spy
    logits(model, adapters)
    ids = list(tiny_models.SHORT)
    assert np.abs(seen["x"] - (base[ids] + a[ids] @ b.T)).max() < 1e-5


@pytest.mark.parametrize("kernels", ["numpy", "native"])
def test_sequences_with_different_adapters_run_side_by_side(bench: MakeBench, tmp_path: Path, kernels: str) -> None:
    specs = [write_adapter(tmp_path / f"{i}.gguf", adapter_tensors(i)) for i in range(2)]
    options = Options(temperature=0.0)
    jobs = [
        Job(token_ids=(3, 4, 5), options=options, max_tokens=12, adapters=adapters)
        for adapters in ((), (specs[0],), (specs[1],), tuple(specs))
    ]

    def run(*some: Job) -> list[list[int]]:
        made = bench(kernels=kernels)
        made.model.adapters.loaders = [GgufLoader()]
        return [outbox.tokens for outbox in made.run(*some)]

    alone = [run(job)[0] for job in jobs]
    assert run(*jobs) == alone
    assert len({tuple(tokens) for tokens in alone}) > 2


_PRODUCTS = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
EVERY_PRODUCT = (*(f"blk.{layer}.{name}.weight" for layer in range(2) for name in _PRODUCTS), "output.weight")


@pytest.mark.parametrize("rank", [1, 3, 16, 40])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_the_native_update_is_that_of_the_reference(
    open_model: Callable[..., Model], tmp_path: Path, rank: int, n_threads: int
) -> None:
    specs = [write_adapter(tmp_path / f"{i}.gguf", adapter_tensors(i, rank, EVERY_PRODUCT)) for i in range(2)]
    results, states = [], []
    for kernels in ("numpy", "native"):
        config = EngineConfig(kernels=kernels, n_threads=n_threads)  # type: ignore[arg-type]
        made = open_model("llama", config=config, kv_tokens=256)
        made.adapters.loaders = [GgufLoader()]
        sets = [NO_ADAPTERS, *(made.adapters.load(chosen) for chosen in (specs[:1], specs[1:], specs))]
        feeds = [Feed(tiny_models.SHORT, 0, [i], 2, adapters) for i, adapters in enumerate(sets)]
        results.append(made.executor.run(make_batch(feeds)).copy())
        states.append(made.executor.run(make_batch(feeds), hidden=True).copy())
        again = [made.executor.run(make_batch([feed])).copy() for feed in feeds]  # company changes no bit
        assert np.array_equal(np.concatenate(again), results[-1])
    assert np.abs(results[0] - results[1]).max() < 2e-4 * np.abs(results[0]).max()
    assert np.abs(states[0] - states[1]).max() < 2e-4 * np.abs(states[0]).max()
    assert len({row.tobytes() for row in results[1]}) == 8


def test_a_forgotten_adapter_leaves_nothing_in_the_executor(open_model: Callable[..., Model], tmp_path: Path) -> None:
    made = open_model("llama", config=EngineConfig(kernels="native"), kv_tokens=256)
    made.adapters.loaders = [GgufLoader()]
    executor: Any = made.executor
    for i in range(20):
        logits(made, made.adapters.load((write_adapter(tmp_path / f"{i}.gguf", adapter_tensors(i)),)))
    assert 0 < len(executor._packed) <= 8
    plain = logits(made)
    assert np.array_equal(plain, logits(made, NO_ADAPTERS))


def test_cached_prefixes_belong_to_their_adapters(bench: MakeBench, tmp_path: Path) -> None:
    made = bench()
    made.model.adapters.loaders = [GgufLoader()]
    spec = write_adapter(tmp_path / "a.gguf", adapter_tensors())
    prompt = tuple(range(3, 80))
    made.run(Job(token_ids=prompt, max_tokens=1))
    (outbox,) = made.run(Job(token_ids=prompt, max_tokens=1, adapters=(spec,)))
    assert outbox.end.cached_tokens == 0


def broken(**changes: Any) -> dict[str, Array]:
    return {**adapter_tensors(), **changes}


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        (broken(**{"blk.9.attn_q.weight.lora_a": np.zeros((4, 64), np.float32)}), "has no counterpart"),
        (adapter_tensors() | {"extra": np.zeros(4, np.float32)}, "extra is not a part"),
        (broken(**{f"{TARGETS[0]}.lora_a": np.zeros((4, 63), np.float32)}), "for a tensor of"),
        (broken(**{f"{TARGETS[0]}.lora_b": np.zeros((64, 3), np.float32)}), "for a tensor of"),
        (
            {
                "blk.7.x.weight.lora_a": np.zeros((1, 1), np.float32),
                "blk.7.x.weight.lora_b": np.zeros((1, 1), np.float32),
            },
            "has no tensor blk.7.x.weight",
        ),
    ],
)
def test_a_bad_adapter_is_refused(model: Model, tmp_path: Path, tensors: dict[str, Array], said: str) -> None:
    with pytest.raises(FormatError, match=said):
        model.adapters.load((write_adapter(tmp_path / "bad.gguf", tensors),))


def test_the_wrong_kind_of_file_is_refused(model: Model, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="is for 'qwen2', the model is 'llama'"):
        model.adapters.load((write_adapter(tmp_path / "q.gguf", adapter_tensors(), architecture="qwen2"),))
    with pytest.raises(CorralError, match="no LoRA adapter"):
        model.adapters.load((write_adapter(tmp_path / "m.gguf", adapter_tensors(), kind="model"),))
    with pytest.raises(FormatError, match=r"gone\.gguf"):
        model.adapters.load((AdapterSpec(path=str(tmp_path / "gone.gguf")),))
    (tmp_path / "text").write_text("hello")
    with pytest.raises(CorralError, match="no loader"):
        model.adapters.load((AdapterSpec(path=str(tmp_path / "text")),))


def test_an_adapter_that_replaces_a_tensor_is_refused(model: Model, tmp_path: Path) -> None:
    tensors = adapter_tensors() | {"blk.0.attn_norm.weight": np.ones(64, np.float32)}
    spec = write_adapter(tmp_path / "n.gguf", tensors)
    with pytest.raises(Unsupported, match=r"adapter n\.gguf: it replaces the whole tensor blk\.0\.attn_norm\.weight"):
        model.adapters.load((spec,))


def test_files_are_read_once(model: Model, tmp_path: Path) -> None:
    spec = write_adapter(tmp_path / "n.gguf", adapter_tensors())
    store: AdapterStore = model.adapters
    first = store.load((spec,))
    Path(spec.path).unlink()
    again = store.load((AdapterSpec(path=spec.path, scale=0.5),))
    assert again.pairs.keys() == first.pairs.keys() == set(TARGETS)
    assert store.load((spec,)) is first
