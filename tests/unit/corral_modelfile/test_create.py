"""Making models: layers, statuses, errors, and that nothing half-made remains."""

import asyncio
import hashlib
import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from corral import BadRequest, Conversation, CorralError, FormatError, Message, ModelInfo, Progress, Unsupported
from corral.config import Config, KernelSettings
from corral.kernel import Kernel
from corral_modelfile import Converted, CreateRequest, parse
from corral_modelfile.encoding import human_count, messages, parameters
from corral_modelfile.plugin import Builder

from .conftest import FITS, PLUGINS, Fails, Gguf, Make, blobs, found, kinds, lora, statuses

CHATML = (
    "{% for message in messages %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


# --- from files ---------------------------------------------------------------------------------------------------


async def test_one_file_makes_one_manifest_and_two_blobs(kernel: Kernel, make: Make, gguf: Gguf) -> None:
    steps = await make("m", files=[gguf("m.gguf")])
    assert statuses(steps) == ["parsing GGUF", "using existing layer", "writing manifest", "success"]
    model = kernel.find("m")
    assert len(blobs(kernel)) == 2
    assert kinds(kernel, "m") == ["model"]
    config = model.config
    assert (config.format, config.family, config.families) == ("gguf", "llama", ("llama",))
    assert (config.parameter_size, config.quantization) == ("2K", "F16")


async def test_texts_become_layers_in_order(kernel: Kernel, make: Make, gguf: Gguf) -> None:
    steps = await make(
        "m",
        files=[gguf("m.gguf")],
        template="{{ .System }} {{ .Prompt }}",
        system="Say hi!",
        licenses=("MIT", "BSD"),
        parameters={"top_k": 10, "temperature": 1.0, "stop": ["USER:", "ASSISTANT:"]},
        messages=(Message(role="user", content="a<b"),),
        renderer="r",
        parser="p",
        requires="v1.2.3",
    )
    assert statuses(steps)[1:-2] == ["using existing layer"] + ["creating new layer"] * 6
    assert kinds(kernel, "m") == ["model", "template", "system", "license", "license", "params", "messages"]
    model = kernel.find("m")
    digests = {layer.media_type.rpartition(".")[2]: layer.digest[7:] for layer in model.layers}
    assert digests["template"] == "fe7ac77b725cda2ccad03f88a880ecdfd7a33192d6cae08fce2c0ee1455991ed"
    assert digests["system"] == "f29e82a8284dbdf5910b1555580ff60b04238b8da9d5e51159ada67a4d0d5851"
    assert digests["params"] == "1d0ad71299d48c2fb7ae2b98e683643e771f8a5b72be34942af90d97a91c1e37"
    assert model.messages == (Message(role="user", content="a<b"),)
    assert (model.config.renderer, model.config.parser, model.config.requires) == ("r", "p", "1.2.3")


async def test_a_known_chat_template_is_detected(kernel: Kernel, make: Make, gguf: Gguf) -> None:
    path = gguf("m.gguf", {"tokenizer.chat_template": CHATML})
    steps = await make("m", files=[path], parameters={"top_k": 3})
    assert "using autodetected template chatml" in statuses(steps)
    assert kinds(kernel, "m") == ["model", "template", "params"]
    assert kernel.find("m").parameters == {"stop": ["<|im_start|>", "<|im_end|>"], "top_k": 3}
    await make("own", files=[path], template="{{ .Prompt }}", parameters={"stop": ["x"]})
    assert (kernel.find("own").template, kernel.find("own").parameters) == ("{{ .Prompt }}", {"stop": ["x"]})
    await make("other", files=[gguf("o.gguf", {"tokenizer.chat_template": "{{ messages }}"})])
    assert kinds(kernel, "other") == ["model"]


@pytest.mark.parametrize(
    "broken", ["{% if messages %}", "{{ messages | nothing }}", "{{ range $i, $_ := .Messages }}{{ end }}"]
)
async def test_a_broken_chat_template_fails_only_where_it_is_needed(
    kernel: Kernel, make: Make, gguf: Gguf, error: Fails, broken: str
) -> None:
    path = gguf("m.gguf", {"tokenizer.chat_template": broken})
    steps = await make("m", files=[path])
    (warning,) = (each for each in statuses(steps) if each.startswith("warning"))
    assert warning.startswith("warning: the chat template in m.gguf cannot be used: template error")
    described = kernel.pipeline.generation.describe(kernel.find("m"))
    assert (described.template.source, described.template.capabilities) == (broken, frozenset())
    with pytest.raises(BadRequest, match="template error"):
        described.template.render(Conversation(messages=(Message(role="user", content="x"),)))
    own = await make("own", files=[path], template="{{ .Prompt }}")
    assert not [each for each in statuses(own) if each.startswith("warning")]
    assert kernel.pipeline.generation.describe(kernel.find("own")).template.source == "{{ .Prompt }}"
    assert "template error" in await error(files=[path], template="{{ if .Tools }}")


async def test_projectors_adapters_and_drafts_are_told_apart(kernel: Kernel, make: Make, gguf: Gguf) -> None:
    projector = gguf("mmproj.gguf", {"general.architecture": "clip", "clip.has_vision_encoder": True}, ("v.weight",))
    adapter = lora(gguf("lora.gguf"), FITS)
    draft = gguf("d.gguf", {"x.y": 1})
    told = await make("m", files=[gguf("m.gguf"), projector], adapters=[adapter], draft_files=[draft])
    unused = "warning: mmproj.gguf is kept and not used: no engine here takes images or sound"
    assert unused in [step.status for step in told]
    assert kinds(kernel, "m") == ["model", "projector", "adapter", "draft"]
    model = kernel.find("m")
    assert model.config.families == ("llama", "clip")
    assert [len(paths) for paths in (model.weights, model.projectors, model.adapters, model.drafts)] == [1, 1, 1, 1]
    lines = kernel.service("corral_model_builder").render(model).splitlines()
    assert [line.split()[0] for line in lines if line.startswith(("FROM", "ADAPTER", "DRAFT"))] == [
        "FROM", "ADAPTER", "DRAFT", "FROM",
    ]  # fmt: skip


async def test_a_vocabulary_alone_is_accepted(kernel: Kernel, make: Make, gguf: Gguf, error: Fails) -> None:
    metadata = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": ["<unk>", "a"],
        "tokenizer.ggml.scores": [0.0, 1.0],
        "tokenizer.ggml.token_type": [2, 1],
    }
    await make("vocab", files=[gguf("v.gguf", metadata, ())])
    assert kernel.find("vocab").config.parameter_size == "0"
    broken = {**metadata, "tokenizer.ggml.scores": [0.0]}
    assert "b.gguf" in await error(FormatError, files=[gguf("b.gguf", broken, ())])


async def test_the_real_model(kernel: Kernel, make: Make, smollm2_path: Path) -> None:
    steps = await make("smol", files=[smollm2_path])
    assert "using autodetected template chatml" in statuses(steps)
    config = kernel.find("smol").config
    assert (config.family, config.parameter_size, config.quantization) == ("llama", "134.52M", "Q4_1")


# --- from a model -------------------------------------------------------------------------------------------------


async def test_a_child_inherits_and_overrides(kernel: Kernel, make: Make, gguf: Gguf) -> None:
    base = {
        "template": "{{ .Prompt }}", "system": "old", "licenses": ("MIT",),
        "parameters": {"stop": ["a", "b"], "top_k": 1},
        "messages": (Message(role="user", content="x"),), "renderer": "r", "requires": "1.0.0",
    }  # fmt: skip
    await make("base", files=[gguf("m.gguf")], **base)
    await make("same", base="BASE")
    same, parent = kernel.find("same"), kernel.find("base")
    assert (same.template, same.system, same.parameters) == (parent.template, parent.system, parent.parameters)
    assert (same.messages, same.licenses, same.config) == (parent.messages, parent.licenses, parent.config)
    assert {layer.origin for layer in same.layers if not layer.media_type.endswith("params")} == {"base:latest"}
    await make(
        "child", base="base", system="new", licenses=("BSD",), parameters={"stop": ["c"], "seed": 1},
        messages=(Message(role="user", content="y"), Message(role="assistant", content="z")), parser="p",
    )  # fmt: skip
    child = kernel.find("child")
    assert (child.system, child.licenses, child.template) == ("new", ("MIT", "BSD"), "{{ .Prompt }}")
    assert child.parameters == {"stop": ["c"], "top_k": 1, "seed": 1}
    assert [message.content for message in child.messages] == ["y", "z"]
    assert (child.config.renderer, child.config.parser, child.config.requires) == ("r", "p", "1.0.0")
    assert kinds(kernel, "child") == ["model", "template", "license", "system", "license", "params", "messages"]


async def test_a_shown_modelfile_makes_the_same_model(kernel: Kernel, make: Make, gguf: Gguf) -> None:
    await make(
        "m", files=[gguf("m.gguf")], template='{{ .Prompt }}\n"', system=" edge", parameters={"num_ctx": 4096},
        messages=(Message(role="user", content="a: b"),), licenses=("line\n\nline",),
    )  # fmt: skip
    modelfile = parse(kernel.service("corral_model_builder").render(kernel.find("m")))
    digest = "sha256:" + Path(modelfile.last("from")).name[7:]
    fields = modelfile.fields()
    await make(
        "again", files={"m.gguf": digest}, template=fields["template"], system=fields["system"],
        licenses=tuple(fields["license"]), parameters=fields["parameters"], messages=modelfile.messages,
    )  # fmt: skip
    assert kernel.find("again").digest == kernel.find("m").digest


async def test_making_it_again_drops_orphans_only(kernel: Kernel, make: Make, gguf: Gguf) -> None:
    await make("m", files=[gguf("m.gguf")], system="orphan")
    orphan = f"sha256-{hashlib.sha256(b'orphan').hexdigest()}"
    assert orphan in blobs(kernel)
    steps = await make("M", base="m", system="new")
    assert statuses(steps)[-1] == "success"
    assert orphan not in blobs(kernel)
    assert [model.ref.name for model in kernel.store.list()] == ["m:latest"]


# --- refusals -----------------------------------------------------------------------------------------------------


async def test_refusals(kernel: Kernel, gguf: Gguf, tmp_path: Path, error: Fails) -> None:
    path = gguf("m.gguf")
    digest = (await kernel.store.adopt(path)).digest
    assert await error() == "neither 'from' or 'files' was specified"
    assert await error(files={}) == "unknown type"
    for name in ("/abs", "../up", "a/../b", "a//b", "./a", "a\\b", "c:x", "a/", "", "\0"):
        assert await error(files={name: digest}) == "file path must be relative"
    for bad in ("", "sha256:../../x", "../../../etc/passwd"):
        assert await error(files={"m.gguf": bad}) == "invalid digest format"
    assert "not found" in await error(files={"m.gguf": "sha256:" + "0" * 64})
    (tmp_path / "text.gguf").write_text("hello")
    (tmp_path / "text.txt").write_text("hello, too")
    assert await error(files=[tmp_path / "text.gguf"]) == "supplied file was not in GGUF format: text.gguf"
    assert await error(files=[tmp_path / "text.txt"]) == "unknown type: nothing here reads text.txt"
    files = {"m.gguf": digest}
    assert (await error(files=files, template="{{ .Prompt")).startswith("template error: ")
    assert "DRAFT model" in await error(files=files, draft_quantize="F16")
    assert await error(base="bad name!") == "invalid model name"
    assert "no source" in await error(CorralError, base="unknown")
    for info, message in (
        ({"model_family": 1}, 'info field "model_family" must be a string'),
        ({"context_length": "8"}, 'info field "context_length" must be a number'),
        ({"embedding_length": -1}, 'info field "embedding_length" must be a non-negative integer'),
        ({"context_length": 1.5}, 'info field "context_length" must be a non-negative integer'),
    ):
        assert await error(files=files, info=info) == message


async def test_info_is_laid_over_the_config(kernel: Kernel, make: Make, gguf: Gguf) -> None:
    info = {"parameter_size": "9B", "context_length": 8.0, "capabilities": ["tools"]}
    await make("m", files=[gguf("m.gguf")], info=info)
    config = kernel.find("m").config
    assert (config.parameter_size, config.context_length, config.capabilities) == ("9B", 8, ("tools",))


async def test_f06_f10_broken_files_are_refused_by_name(gguf: Gguf, tmp_path: Path, error: Fails) -> None:
    content = gguf("m.gguf").read_bytes()
    for broken in (content[:-1], content[:8], content[:100], b"GGUF" + struct.pack("<IQQ", 3, 1 << 63, 0)):
        path = tmp_path / "broken.gguf"
        path.write_bytes(broken)
        assert (await error(FormatError, files=[path])).startswith("broken.gguf")


# --- split files --------------------------------------------------------------------------------------------------


def shard(gguf: Gguf, number: int, count: int = 2, named: str = "") -> Path:
    metadata = {"split.no": number - 1, "split.count": count, "split.tensors.count": count}
    return gguf(named or f"m-{number:05d}-of-{count:05d}.gguf", metadata, (f"blk.{number}.weight",))


async def test_shards_become_one_file(kernel: Kernel, make: Make, gguf: Gguf) -> None:
    await make("m", files=[shard(gguf, 2), shard(gguf, 1)])
    assert kinds(kernel, "m") == ["model"]
    weights = kernel.open(kernel.find("m"))
    assert [tensor.name for tensor in weights.info.tensors] == ["blk.1.weight", "blk.2.weight"]
    assert not [key for key in weights.info.metadata if key.startswith("split.")]
    weights.close()
    assert not list((kernel.store.root / "work").glob("*"))


async def test_bad_shards(gguf: Gguf, error: Fails) -> None:
    for files in (
        [shard(gguf, 1)],
        [shard(gguf, 1, named="m.gguf")],
        [shard(gguf, 1), shard(gguf, 2, named="m-00003-of-00002.gguf")],
        [shard(gguf, 1), gguf("m-00002-of-00002.gguf")],
        [gguf("m-00001-of-00002.gguf"), gguf("m-00002-of-00002.gguf", {"a.b": 1})],
    ):
        assert (await error(FormatError, files=files)).startswith("split GGUF ")


# --- quantizing ---------------------------------------------------------------------------------------------------


async def test_quantizing(kernel: Kernel, make: Make, gguf: Gguf, error: Fails) -> None:
    path = gguf("m.gguf")
    steps = await make("q8", files=[path], quantize="q8_0", system="s")
    bars = [step for step in steps if step.status == "quantizing F16 model to Q8_0"]
    assert bars[0].digest == "0" * 19
    assert (bars[-1].completed_bytes, bars[-1].total_bytes) == (64 * 34, 64 * 34)
    assert "verifying conversion" in statuses(steps)
    model = kernel.find("q8")
    assert model.config.quantization == "Q8_0"
    assert model.weights[0].stat().st_size < path.stat().st_size
    await make("same", base="q8", quantize="Q8_0")
    assert kernel.find("same").weights == model.weights
    assert not [step for step in steps if "warning" in step.status]
    assert "unsupported quantization type Q9 - supported types are" in await error(files=[path], quantize="q9")


async def test_quantizing_what_is_quantized_works_and_warns(kernel: Kernel, make: Make, gguf: Gguf) -> None:
    await make("q8", files=[gguf("m.gguf", tensors=("blk.0.ffn_up.weight", "token_embd.weight"))], quantize="Q8_0")
    steps = await make("q4", base="q8", quantize="q4_0")
    assert [status for status in statuses(steps) if status.startswith("warning: the weights are Q8_0 already")]
    assert "quantizing Q8_0 model to Q4_0" in statuses(steps)
    assert kernel.find("q4").config.quantization == "Q4_0"
    await make("wide", base="q8", quantize="F16")
    assert kernel.find("wide").config.quantization == "F16"


async def test_weights_that_cannot_be_quantized_are_named_with_their_file(gguf: Gguf, error: Fails) -> None:
    path = gguf("m.gguf")
    data = bytearray(path.read_bytes())
    data[-2:] = b"\x00\x7c"  # infinity
    path.write_bytes(data)
    message = await error(FormatError, files=[path], quantize="q8_0")
    assert message.startswith("m.gguf: tensor 'token_embd.weight': weight inf cannot be stored as Q8_0")


async def test_quantizing_a_draft(kernel: Kernel, make: Make, gguf: Gguf, error: Fails) -> None:
    files, draft = [gguf("m.gguf")], [gguf("d.gguf", {"a.b": 1})]
    await make("m", files=files, draft_files=draft, draft_quantize="Q8_0")
    model = kernel.find("m")
    assert kinds(kernel, "m") == ["model", "draft"]
    assert model.drafts[0].stat().st_size < model.weights[0].stat().st_size
    quantized = model.drafts[0].rename(draft[0].with_name("quantized.gguf"))
    message = await error(files=files, draft_files=[quantized], draft_quantize="F16")
    assert message == "draft quantization requires an unquantized draft model, got Q8_0"


async def test_f42_a_client_that_leaves_stops_the_work(kernel: Kernel, gguf: Gguf) -> None:
    request = CreateRequest(
        ref=kernel.parse_ref("m"), files={"m.gguf": (await kernel.store.adopt(gguf("m.gguf"))).digest}, quantize="Q8_0"
    )
    for count in range(1, 5):
        steps = kernel.service("corral_model_builder").create(request)
        for _ in range(count):
            await anext(steps)
        await steps.aclose()
        assert not kernel.store.list()
        assert not list((kernel.store.root / "work").glob("*"))
        assert len(asyncio.all_tasks()) == 1


# --- other formats ------------------------------------------------------------------------------------------------


class Shouting:
    """A converter of files named *.loud."""

    name = "loud"

    def __init__(self, gguf: Gguf) -> None:
        self._gguf = gguf

    def fits(self, files: Mapping[str, Path]) -> bool:
        return any(name.endswith((".loud", ".safetensors")) for name in files)

    def convert(
        self,
        files: Mapping[str, Path],
        folder: Path,
        *,
        base: ModelInfo | None,
        progress: Callable[[Progress], None],
        should_stop: Callable[[], bool],
    ) -> Converted:
        assert not should_stop()
        assert list(folder.iterdir()) == []
        progress(Progress(status="shouting", total_bytes=2, completed_bytes=2))
        made = self._gguf(folder / "out.gguf") if base is None else lora(folder / "out.gguf", FITS)
        return Converted(weights=(made,), parameters={"stop": ["!"], "seed": 1})


async def test_without_a_converter_safetensors_are_refused(tmp_path: Path, error: Fails) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    message = await error(Unsupported, files=[tmp_path / "model.safetensors"])
    assert message == "converting safetensors needs the plugin safetensors"


async def test_without_the_loader_the_plugin_that_is_off_is_named(make: Make, gguf: Gguf, tmp_path: Path) -> None:
    path = gguf("m.gguf")
    await make("m", files=[path])
    config = Config(kernel=KernelSettings(models=str(tmp_path / "models")), plugins={"gguf": {"enabled": False}})
    async with Kernel(config, [found(name) for name in PLUGINS]).live() as kernel:
        files = {"m.gguf": (await kernel.store.adopt(path)).digest}
        ref = kernel.parse_ref("n")
        for request, name in (
            (CreateRequest(ref=ref, base="m"), "m:latest"),
            (CreateRequest(ref=ref, files=files), "m.gguf"),
        ):
            with pytest.raises(Unsupported) as caught:
                await anext(kernel.service("corral_model_builder").create(request))
            assert caught.value.message == f"no loader here reads {name} (there is none; plugins that are off: gguf)"


async def test_converters(kernel: Kernel, make: Make, gguf: Gguf, tmp_path: Path) -> None:
    builder = kernel.service("corral_model_builder")
    assert isinstance(builder, Builder)
    builder.attach(kernel, [Shouting(gguf)])
    (tmp_path / "model.loud").write_bytes(b"!!")
    (tmp_path / "adapter.safetensors").write_bytes(b"!!!")
    steps = await make(
        "m", files=[tmp_path / "model.loud"], adapters=[tmp_path / "adapter.safetensors"], parameters={"seed": 2}
    )
    assert statuses(steps)[:2] == ["converting model", "shouting"]
    assert "converting adapter" in statuses(steps)
    assert kinds(kernel, "m") == ["model", "adapter", "params"]
    assert kernel.find("m").parameters == {"stop": ["!"], "seed": 2}
    assert not list((kernel.store.root / "work").glob("*"))


async def test_errors_come_before_the_first_status(kernel: Kernel, make: Make, gguf: Gguf) -> None:
    await make("q8", files=[gguf("m.gguf")], quantize="Q8_0")
    digest = kernel.find("q8").layers[0].digest
    builder = kernel.service("corral_model_builder")
    for fields in ({"quantize": "Q9"}, {"adapters": {"m.gguf": digest}}):
        with pytest.raises(BadRequest):
            await anext(builder.create(CreateRequest(ref=kernel.parse_ref("m"), files={"m.gguf": digest}, **fields)))


# --- small things -------------------------------------------------------------------------------------------------


def test_human_counts() -> None:
    counts = {
        0: "0", 999: "999", 1000: "1K", 1500: "2K", 125_000_000: "125M", 500_500_000: "500.50M", 7_000_000_000: "7B",
        2_800_000_000: "2.8B",
    }  # fmt: skip
    assert {count: human_count(count) for count in counts} == counts


def test_json_is_written_as_go_writes_it() -> None:
    assert parameters({"b": 1.0, "a": ["<&>"], "c": 0.7}) == b'{"a":["\\u003c\\u0026\\u003e"],"b":1,"c":0.7}\n'
    text = messages((Message(role="user", content="\u2028", images=(b"x",)),))
    assert text == b'[{"role":"user","content":"\\u2028","images":["eA=="]}]\n'
    assert json.loads(text)[0]["content"] == "\u2028"
