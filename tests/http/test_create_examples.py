"""The ways people make models, as they type them: `corral create` on real files, against a real server."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from corral_cli.formatting import byte_size
from corral_gguf.loader import GgufLoader
from corral_gguf.writer import sources_of, write_gguf
from corral_quantizers.file_types import FILE_TYPES

from .creating import *  # noqa: F403  fixtures are found by name
from .creating import CHECKPOINTS, METADATA, SHAPES, Corral, E, F, ask, files, lora, show, small_model

LLAMA = '''FROM llama3.2:1b
PARAMETER temperature 0.3
PARAMETER num_ctx 128
PARAMETER stop "User: "
SYSTEM You are a "pirate".
TEMPLATE """{{ if .System }}<{{ .System }}>
{{ end }}{{ .Prompt }}|{{ .Response }}"""
MESSAGE user Ahoy: who?
MESSAGE assistant """Arr
me"""
LICENSE """One
"licence"."""
'''


async def test_a_model_of_ones_own_and_back_to_its_modelfile(client, corral: Corral) -> None:
    small_model(Path("base.gguf"))
    Path("Modelfile").write_text("FROM ./base.gguf\n")
    assert (await corral("create", "llama3.2:1b")).code == 0
    Path("Mine").write_text(LLAMA)
    done = await corral("create", "mine", "-f", "Mine")
    assert (done.code, done.err.splitlines()[-1]) == (0, "success")
    shown = await show(client, "mine")
    assert shown["system"] == 'You are a "pirate".'
    assert shown["messages"] == [{"role": "user", "content": "Ahoy: who?"}, {"role": "assistant", "content": "Arr\nme"}]
    assert json.loads(shown["parameters"].splitlines()[1].removeprefix("stop").strip()) == "User: "
    prompt = (await ask(client, "mine", prompt="x", _debug_render_only=True))["_debug_info"]["rendered_template"]
    assert prompt == '<You are a "pirate".>\nAhoy: who?|Arr\nmex|'
    again = await corral("show", "--modelfile", "mine")
    Path("Again").write_text(again.out)
    assert (await corral("create", "again", "-f", "Again")).code == 0
    assert (await corral("show", "--modelfile", "again")).out == again.out.replace("mine:latest", "again:latest")


async def test_weights_by_path_folder_and_parts(client, kernel, corral: Corral) -> None:
    small_model(Path("external-models/gguf/model-f16.gguf"))
    Path("Modelfile_gguf").write_text("FROM ./external-models/gguf/model-f16.gguf\nPARAMETER num_ctx 64\n")
    assert (await corral("create", "custom-gguf", "-f", "./Modelfile_gguf")).code == 0
    answer = (await ask(client, "custom-gguf", prompt="hello"))["response"]
    Path("Folder").write_text("FROM ./external-models/gguf\n")
    assert (await corral("create", "folder", "-f", "Folder")).code == 0
    assert kernel.find("folder").weights == kernel.find("custom-gguf").weights
    names = tuple(SHAPES)
    for number, part in enumerate((names[:5], names[5:])):
        keys = {"split.no": number, "split.count": 2, "split.tensors.count": len(names)}
        small_model(Path(f"split/big-{number + 1:05d}-of-00002.gguf"), keys, part)
    Path("Split").write_text("FROM ./split\n")
    assert (await corral("create", "split", "-f", "Split")).code == 0
    assert (await ask(client, "split", prompt="hello"))["response"] == answer
    small_model(Path("vocabulary.gguf"), names=())
    Path("Words").write_text("FROM ./vocabulary.gguf\n")
    assert (await corral("create", "words", "-f", "Words")).code == 0
    response = await client.post("/api/tokenize", json={"model": "words", "content": "hi"})
    assert response.status == 200


async def test_adapters_change_the_answer_and_share_the_base(client, kernel, corral: Corral) -> None:
    small_model(Path("base.gguf"))
    lora(Path("adapters/lora.gguf"))
    lora(Path("adapters/other.gguf"), "blk.0.attn_q.weight", E)
    Path("Modelfile").write_text("FROM ./base.gguf\n")
    Path("modelfile").write_text("FROM base-model\nADAPTER ./adapters/lora.gguf\n")
    Path("both").write_text("FROM base-model\nADAPTER ./adapters/lora.gguf\nADAPTER ./adapters/other.gguf\n")
    assert (await corral("create", "base-model")).code == 0
    assert (await corral("create", "custom-lora", "-f", "./modelfile")).code == 0
    assert (await corral("create", "both", "-f", "./both")).code == 0
    answers = {
        name: (await ask(client, name, prompt="abc"))["response"] for name in ("base-model", "custom-lora", "both")
    }
    assert len(set(answers.values())) == 3, answers
    assert kernel.find("both").weights == kernel.find("base-model").weights
    lora(Path("adapters/lora.gguf"), rows=F + 32)
    wrong = await corral("create", "wrong", "-f", "./modelfile")
    assert wrong.code == 1
    assert "lora.gguf: the adapter does not fit the base model: blk.0.ffn_up.weight is 512 x 256" in wrong.err
    lora(Path("adapters/lora.gguf"), **{"general.architecture": "gemma2"})
    wrong = await corral("create", "wrong", "-f", "./modelfile")
    assert "lora.gguf is an adapter for gemma2, the base model is llama" in wrong.err


@pytest.mark.parametrize("named", ["q4_K_M", "Q8_0"])
async def test_quantizing_by_name(client, kernel, corral: Corral, named: str) -> None:
    small_model(Path("model-fp16.gguf"))
    Path("Modelfile").write_text("FROM ./model-fp16.gguf\n")
    plan = await corral("create", "llama-quantized", "-f", "./Modelfile", "-q", named, "--dry-run")
    assert plan.code == 0
    assert f"quantized to  {named.upper()}, " in plan.out
    assert not kernel.store.list()
    done = await corral("create", "llama-quantized", "-f", "./Modelfile", "-q", named)
    assert f"quantizing F16 model to {named.upper()}\nverifying conversion\n" in done.err
    model = kernel.find("llama-quantized")
    assert model.config.quantization == named.upper()
    types = {row["type"] for row in (await show(client, "llama-quantized"))["tensors"]}
    assert types == {line.split()[0] for line in plan.out.splitlines()[4:]}
    assert (await ask(client, "llama-quantized", prompt="abc"))["eval_count"] > 0
    Path("Again").write_text("FROM llama-quantized\n")
    plan = await corral("create", "again", "-f", "Again", "-q", "q4_0", "--dry-run")
    assert f"warning: the weights are {named.upper()} already" in plan.out
    again = await corral("create", "again", "-f", "Again", "-q", "q4_0")
    assert f"warning: the weights are {named.upper()} already" in again.err
    assert kernel.find("again").config.quantization == "Q4_0"


async def test_a_folder_of_safetensors(client, kernel, corral: Corral) -> None:
    shutil.copytree(CHECKPOINTS / "llama", "external-models/safetensors/some_model")
    Path("modelfile").write_text(
        "FROM ./external-models/safetensors/some_model/\nPARAMETER num_ctx 128\nPARAMETER temperature 0.7\n"
    )
    plan = await corral("create", "custom-st", "-f", "./modelfile", "-q", "q8_0", "--dry-run")
    assert plan.code == 0, plan.err
    assert "source        F16, 36K weights" in plan.out
    assert "quantized to  Q8_0, " in plan.out
    assert not files(kernel.store.root / "blobs")
    done = await corral("create", "custom-st", "-f", "./modelfile", "-q", "q8_0")
    assert done.code == 0, done.err
    assert f"a weight, {byte_size(kernel.find('custom-st').weights[0].stat().st_size)}\n" in plan.out
    types = {row["type"] for row in (await show(client, "custom-st"))["tensors"]}
    assert types == {line.split()[0] for line in plan.out.splitlines()[4:]}
    assert (await ask(client, "custom-st", prompt="abc"))["eval_count"] > 0


DRY = {
    "TEMPLATE {{ if }}": "template",
    "REQUIRES x": "requires must be a valid semver",
    "ADAPTER ./model.gguf": "model.gguf is no adapter: it holds a model",
    "ADAPTER ./gemma.gguf": "gemma.gguf is an adapter for gemma2, the base model is llama",
    "ADAPTER ./text.gguf": "supplied file was not in GGUF format: text.gguf",
}


@pytest.mark.parametrize("base", ["./model.gguf", "made"])
@pytest.mark.parametrize("line", DRY)
async def test_a_dry_run_refuses_what_create_refuses(kernel, corral: Corral, base: str, line: str) -> None:
    small_model(Path("model.gguf"))
    Path("text.gguf").write_text("this is no weight file")
    lora(Path("gemma.gguf"), **{"general.architecture": "gemma2"})
    Path("Modelfile").write_text("FROM ./model.gguf\n")
    assert (await corral("create", "made")).code == 0
    Path("Modelfile").write_text(f"FROM {base}\n{line}\n")
    told = []
    for more in (["--dry-run"], []):
        done = await corral("create", "wrong", *more)
        assert (done.code, done.out) == (1, "")
        assert DRY[line] in done.err
        told.append(done.err.splitlines()[-1].removeprefix("Error: 400 Bad Request: ").removeprefix("Error: "))
    assert told[0] == told[1]
    assert [model.ref.model for model in kernel.store.list()] == ["made"]


async def test_a_dry_run_warns_as_create_does(corral: Corral) -> None:
    small_model(Path("model.gguf"), names=tuple(name for name in SHAPES if name != "output_norm.weight"))
    Path("Modelfile").write_text("FROM ./model.gguf\n")
    plan, done = await corral("create", "m", "--dry-run"), await corral("create", "m")
    assert (plan.code, done.code) == (0, 0)
    (warning,) = (line for line in plan.err.splitlines() if line.startswith("warning: "))
    assert "output_norm.weight" in warning
    assert warning in done.err.splitlines()


async def test_a_broken_folder_is_not_sent(kernel, corral: Corral) -> None:
    shutil.copytree(CHECKPOINTS / "llama", "some_model")
    shard = Path("some_model/model-00002-of-00002.safetensors")
    shard.write_bytes(shard.read_bytes()[:-2])
    Path("Modelfile").write_text("FROM ./some_model/\n")
    for more in ([], ["--dry-run"]):
        done = await corral("create", "custom-st", *more)
        assert done.code == 1
        assert "Error: model-00002-of-00002.safetensors: tensor " in done.err
    assert not files(kernel.store.root / "blobs")


async def test_a_family_unknown_here_is_left_to_the_server(kernel, corral: Corral) -> None:
    shutil.copytree(CHECKPOINTS / "llama", "some_model")
    config = Path("some_model/config.json")
    config.write_text(config.read_text().replace("LlamaForCausalLM", "OtherForCausalLM"))
    Path("Modelfile").write_text("FROM ./some_model/\n")
    for more, is_sent in ((["--dry-run"], False), ([], True)):
        done = await corral("create", "custom-st", *more)
        assert done.code == 1
        assert 'unsupported architecture "OtherForCausalLM" in config.json' in done.err
        assert ("copying file" in done.err) is is_sent
        assert not files(kernel.store.root / "blobs")  # what was sent was taken back


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("attention.head_count", 0, "= 0: the file has attention tensors"),
        ("attention.head_count", -1, "= -1: must be 0 to"),
        ("attention.head_count", 3, "head_count_kv = 2: it does not divide 3 heads"),
        ("attention.head_count_kv", 3, "= 3: it does not divide 4 heads"),
        ("embedding_length", 1 << 30, "= 1073741824: expected 1"),
        ("block_count", 1 << 30, "= 1073741824: expected 1"),
        ("rope.dimension_count", 7, "= 7: expected an even number"),
        ("rope.freq_base", float("nan"), "= nan: must be finite"),
    ],
)
async def test_f11_a_file_that_lies_about_itself(kernel, corral: Corral, key: str, value: Any, complaint: str) -> None:
    small_model(Path("m.gguf"), {f"llama.{key}": value})
    Path("Modelfile").write_text("FROM ./m.gguf\n")
    done = await corral("create", "lies")
    assert done.code == 1
    last = done.err.splitlines()[-1]
    assert "m.gguf: invalid hyper-parameter" in last
    assert complaint in last
    assert not files(kernel.store.root / "blobs")
    assert not kernel.store.list()


@pytest.mark.parametrize(
    ("metadata", "without", "warning"),
    [
        ({"llama.feed_forward_length": 9}, "", "tensor blk.0.ffn_gate.weight has shape (512, 256), expected (9, 256)"),
        ({"llama.block_count": 2}, "", "tensor blk.1.attn_norm.weight is missing"),
        ({}, "blk.0.ffn_up.weight", "tensor blk.0.ffn_up.weight is missing"),
        (
            {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "other", "tokenizer.ggml.merges": []},
            "",
            "unknown pre-tokenizer 'other'",
        ),
    ],
)
async def test_a_file_that_cannot_be_run_is_stored_with_a_warning(
    corral: Corral, metadata: dict[str, Any], without: str, warning: str
) -> None:
    small_model(Path("m.gguf"), metadata, tuple(name for name in SHAPES if name != without))
    Path("Modelfile").write_text("FROM ./m.gguf\n")
    done = await corral("create", "odd")
    assert (done.code, f"warning: m.gguf cannot be run here: {warning}" in done.err) == (0, True), done.err


async def test_a_draft_of_another_vocabulary_is_refused(client, kernel, corral: Corral) -> None:
    small_model(Path("m.gguf"))
    tokens = METADATA["tokenizer.ggml.tokens"]
    small_model(Path("other.gguf"), {"tokenizer.ggml.tokens": [*tokens[:-1], "xy"]})
    small_model(Path("same.gguf"), {"llama.context_length": 128})
    small_model(Path("none.gguf"), {"general.architecture": "bert"})
    Path("Modelfile").write_text("FROM ./m.gguf\nDRAFT ./other.gguf\n")
    Path("Useless").write_text("FROM ./m.gguf\nDRAFT ./none.gguf\n")
    Path("Same").write_text("FROM ./m.gguf\nDRAFT ./same.gguf\n")
    done = await corral("create", "drafted")
    assert (done.code, done.err.splitlines()[-1]) == (
        1, "Error: 400 Bad Request: other.gguf: it cannot draft for this model: token 355 is 'xy', the model's 'cd'",
    )  # fmt: skip
    done = await corral("create", "drafted", "-f", "Useless")
    assert done.err.splitlines()[-1] == "Error: 400 Bad Request: none.gguf: it cannot draft: its architecture is 'bert'"
    assert not kernel.store.list()
    assert not files(kernel.store.root / "blobs")
    assert (await corral("create", "drafted", "-f", "Same")).code == 0
    assert (await ask(client, "drafted", prompt="x"))["done"] is True


async def test_every_type_can_be_asked_for(client, kernel, corral: Corral) -> None:
    small_model(Path("m.gguf"))
    Path("Modelfile").write_text("FROM ./m.gguf\n")
    for name in FILE_TYPES:
        done = await corral("create", name.lower(), "-q", name.lower() if len(name) % 2 else name.title())
        assert done.code == 0, done.err
        assert kernel.find(name.lower()).config.quantization == name
    refused = await corral("create", "x", "-q", "q9_z")
    assert (refused.code, "unsupported quantization type Q9_Z - supported types are F32" in refused.err) == (1, True)


async def test_broken_files_are_named_and_change_nothing(kernel, corral: Corral) -> None:
    data = small_model(Path("m.gguf")).read_bytes()
    Path("ok").write_text("FROM ./m.gguf\n")
    assert (await corral("create", "m", "-f", "ok")).code == 0
    before = files(kernel.store.root)
    Path("Modelfile").write_text("FROM ./broken.gguf\n")
    info = GgufLoader().open(Path("m.gguf"))
    write_gguf(Path("nan.gguf"), {**info.info.metadata, "llama.rope.freq_base": float("nan")}, sources_of(info))
    info.close()
    for broken in (data[:-1], data[: len(data) // 2], data[:200], data[:10], Path("nan.gguf").read_bytes()):
        Path("broken.gguf").write_bytes(broken)
        done = await corral("create", "m", "-f", "Modelfile")
        assert (done.code, done.err.splitlines()[-1].startswith("Error: broken.gguf: ")) == (1, True), done.err
        assert "Traceback" not in done.err
        assert files(kernel.store.root) == before
    for text, message in (
        ("FROM ./m.gguf\nBOGUS x\n", "Error: (line 2): command must be one of"),
        ("FROM ./m.gguf\nPARAMETER num_ctx 1.5\n", "Error: invalid int value [1.5]"),
        ("FROM ./m.gguf\nTEMPLATE {{ .Prompt\n", "template error: "),
        ("FROM ./m.gguf\nADAPTER ./none.gguf\n", "none.gguf: no such file or directory"),
        ("SYSTEM x\n", "Error: no FROM line"),
    ):
        Path("Modelfile").write_text(text)
        done = await corral("create", "m", "-f", "Modelfile")
        assert done.code == 1
        assert message in done.err.splitlines()[-1]
        assert files(kernel.store.root) == before
