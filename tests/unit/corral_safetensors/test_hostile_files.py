"""F05, F13: files that lie are refused with a sentence that names file and tensor; nothing in a folder is ever run."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from safetensors.numpy import load_file, save_file
from tiny_checkpoints import CHECKPOINTS, Files, checkpoint

from corral import FormatError, Unsupported
from corral_safetensors.checkpoint import open_checkpoint
from corral_safetensors.documents import Documents
from corral_safetensors.header import MAX_HEADER_BYTES, read_header

Convert = Callable[..., Any]
ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def write(path: Path, header: Any, data: bytes = bytes(8), *, length: int | None = None) -> Path:
    """A file with this header: a value, or bytes as they are."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def tensor(dtype: str = "F32", shape: Any = (2,), start: Any = 0, end: Any = 8) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


def test_a_sound_file(tmp_path: Path) -> None:
    path = write(tmp_path / "m", {"b": ONE, "a": tensor("U8", [0], 8, 8), "__metadata__": {"format": "pt"}})
    found = read_header("m.safetensors", path)
    assert found["b"].shape == (2,)
    assert found["b"].start == path.stat().st_size - 8


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"", "header says it has 0 bytes"),
        (b"[1]", "its header"),
        (b"{", "its header"),
        (b'{"a": 1}', "tensor 'a'"),
        (b'{"a":' * 20_000, "its header"),
        (b'{"a":' + b"[" * 90_000 + b"]" * 90_000 + b"}", "its header"),
        (b'{"\xff": 1}', "its header"),
        ({"a": {**ONE, "dtype": "F33"}}, "tensor 'a': unknown data type: 'F33'"),
        ({"a": {**ONE, "dtype": 7}}, "tensor 'a': Expected `str`"),
        ({"a": {"dtype": "F32", "shape": [2]}}, "tensor 'a': Object missing required field `data_offsets`"),
        ({"a": tensor(shape=[-2])}, "tensor 'a': impossible shape"),
        ({"a": tensor(shape=[1] * 9)}, "tensor 'a': impossible shape"),
        ({"a": tensor(shape=[2.5])}, "tensor 'a': Expected `int`"),
        ({"a": tensor(shape=[3])}, "tensor 'a': [3] of F32 takes 12 bytes, it has 8"),
        ({"a": tensor(shape=[4194305, 4194305, 211106198978564])}, "tensor 'a': [4194305"),
        ({"a": tensor(start=-8, end=0)}, "tensor 'a': its bytes -8 to 0"),
        ({"a": tensor(start=8, end=0)}, "tensor 'a': its bytes 8 to 0"),
        ({"a": tensor(start=1 << 70, end=(1 << 70) + 8)}, "tensor 'a': "),
        ({"a": tensor(start=0, end=16, shape=[4])}, "tensor 'a': its bytes 0 to 16 are not among the file's 8"),
        ({"a": tensor(shape=[1], end=4), "b": tensor(shape=[1], start=2, end=6)}, "tensor 'b': at byte 2 it overlaps"),
        ({"a": tensor(shape=[1], start=4, end=8)}, "tensor 'a': at byte 4 it leaves a hole"),
        ({"a": tensor(shape=[1], end=4)}, "4 bytes after the last tensor belong to none"),
        ({"a": ONE, "b": ONE}, "overlaps"),
        ({"__metadata__": {"a": 1}, "a": ONE}, "tensor '__metadata__'"),
        (b'{"a": %s, "a": %s}' % ((json.dumps(ONE).encode(),) * 2), "'a' is there twice"),
        (b'{"a": {"dtype":"F32","dtype":"F16","shape":[2],"data_offsets":[0,8]}}', "'dtype' is there twice"),
    ],
)
def test_f13_headers_that_lie(header: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError) as caught:
        read_header("m.safetensors", write(tmp_path / "m", header))
    assert caught.value.message.startswith("m.safetensors: ")
    assert message in caught.value.message


@pytest.mark.parametrize("length", [0, 1, 1 << 63, (1 << 64) - 1, MAX_HEADER_BYTES + 1, 1000])
def test_f13_lengths_that_lie(length: int, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="m: not a valid safetensors file: its header says"):
        read_header("m", write(tmp_path / "m", {"a": ONE}, length=length))


def test_f13_files_cut_anywhere(tmp_path: Path) -> None:
    whole = write(tmp_path / "m", {"a": ONE}).read_bytes()
    for end in range(len(whole)):
        (tmp_path / "cut").write_bytes(whole[:end])
        with pytest.raises(FormatError, match=r"^cut: "):
            read_header("cut", tmp_path / "cut")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_f13_random_changes_never_surprise(data: st.DataObject, tmp_path: Path) -> None:
    whole = bytearray((CHECKPOINTS / "rslora" / "adapter_model.safetensors").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, 2000))] = data.draw(st.integers(0, 255))
    (tmp_path / "m").write_bytes(whole)
    try:
        found = read_header("m", tmp_path / "m")
    except FormatError as err:
        found = {}
        message = err.message
    assert found or message.startswith("m: ")


# --- many files ---------------------------------------------------------------------------------------------------


def shards(tmp_path: Path, weight_map: Any = None, *names: str) -> Documents:
    files: Files = {}
    for number, name in enumerate(names):
        files[name] = write(tmp_path / f"{number}", {chr(97 + number): ONE})
    if weight_map is not None:
        path = tmp_path / "index"
        path.write_text(json.dumps({"weight_map": weight_map}))
        files["model.safetensors.index.json"] = path
    return Documents(files)


A, B = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


def test_shards(tmp_path: Path) -> None:
    assert set(open_checkpoint(shards(tmp_path, {"a": A, "b": B}, A, B))) == {"a", "b"}
    assert set(open_checkpoint(shards(tmp_path, None, A, B))) == {"a", "b"}
    assert set(open_checkpoint(shards(tmp_path, {"a": A}, A, "more.safetensors"))) == {"a"}  # not in the index


@pytest.mark.parametrize(
    ("weight_map", "names", "message"),
    [
        ({"a": A, "b": B}, (A,), f"model.safetensors.index.json: {B!r} is missing"),
        (None, (A,), f"{B} is missing"),
        (None, ("model-00001-of-99999.safetensors",), "model-00002-of-99999.safetensors is missing"),
        ({"a": A, "c": B}, (A, B), f"model.safetensors.index.json: tensor 'c' is not in {B}"),
        ({"a": B}, (A, B), f"model.safetensors.index.json: tensor 'a' is not in {B}"),
        ({"a": "../secret.safetensors"}, (A,), "said to be in '../secret.safetensors', which is no file name"),
        ({"a": "/etc/passwd"}, (A,), "said to be in '/etc/passwd', which is no file name"),
        ({"a": ["x"]}, (A,), "which is no file name"),
        ({}, (A,), "it names no tensors"),
        (7, (A,), "expected an object"),
    ],
)
def test_f13_indexes_that_lie(weight_map: Any, names: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError) as caught:
        open_checkpoint(shards(tmp_path, weight_map, *names))
    assert message in caught.value.message


def test_f13_a_tensor_in_two_files(tmp_path: Path) -> None:
    files = Documents({"x.safetensors": write(tmp_path / "x", {"a": ONE}), "y.safetensors": tmp_path / "x"})
    with pytest.raises(FormatError, match=r"y.safetensors: tensor 'a': it is in x.safetensors, too"):
        open_checkpoint(files)


# --- whole checkpoints --------------------------------------------------------------------------------------------


def changed(tmp_path: Path, name: str, file: str, **values: Any) -> Files:
    """A checkpoint with other values in one of its JSON files; None takes a key away."""
    files = checkpoint(name)
    content = json.loads(files[file].read_text(encoding="utf-8")) if file in files else {}
    content = {key: value for key, value in {**content, **values}.items() if value is not None}
    files[file] = tmp_path / "changed.json"
    files[file].write_text(json.dumps(content), encoding="utf-8")
    return files


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("mistral", {"hidden_size": None}, "config.json: 'hidden_size' is missing"),
        ("mistral", {"hidden_size": "wide"}, "config.json: 'hidden_size' = 'wide': expected a whole number"),
        ("mistral", {"num_attention_heads": 0}, "config.json: 'num_attention_heads' = 0"),
        ("mistral", {"num_hidden_layers": 3}, "tensor blk.2.attn_norm.weight is missing in model.safetensors"),
        ("mistral", {"num_hidden_layers": 1}, "it belongs to layer 1, but there are 1 layers"),
        ("mistral", {"num_hidden_layers": 1 << 40}, "expected a whole number"),
        ("mistral", {"num_hidden_layers": 1 << 30}, "more than a model can have"),
        ("mistral", {"num_key_value_heads": 4}, "self_attn.k_proj.weight': shape [32, 32], expected [64, 32]"),
        ("mistral", {"intermediate_size": 40}, "expected [32, 40]"),
        ("mistral", {"vocab_size": 319}, "320 rows, but vocab_size is 319"),
        ("mistral", {"vocab_size": 1 << 30}, "320 rows, but vocab_size is 1073741824"),
        ("mistral", {"rms_norm_eps": float("nan")}, ""),
        ("mistral", {"rms_norm_eps": 1e39}, "config.json: 'rms_norm_eps' = 1e+39: expected a finite number of 32 bits"),
        ("mistral", {"rms_norm_eps": -1e-5}, "config.json: 'rms_norm_eps' = -1e-05: expected a number from 0"),
        ("mistral", {"architectures": None}, "'architectures' is missing"),
        ("phi3", {"rope_parameters": {"rope_type": "longrope", "long_factor": [1.0], "short_factor": [1.0]}},
         "expected"),
        ("llama", {"rope_parameters": {"rope_type": "llama3", "low_freq_factor": 4.0, "high_freq_factor": 4.0}},
         "llama3 scaling needs"),
        ("gemma3", {"layer_types": ["sliding_attention"]}, "expected 4 entries"),
        ("nf4", {"quantization_config": 3}, "expected an object"),
    ],
)  # fmt: skip
def test_f13_configurations_that_lie(
    name: str, values: dict[str, Any], message: str, convert: Convert, tmp_path: Path
) -> None:
    files = changed(tmp_path, name, "config.json", **values)
    if not message:  # NaN stands in real files, where it means nothing
        assert convert(files).weights
        return
    with pytest.raises(FormatError) as caught:
        convert(files)
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("mistral", {"architectures": ["MambaForCausalLM"]}, 'unsupported architecture "MambaForCausalLM"'),
        ("mistral", {"hidden_act": "relu"}, "llama with activation 'relu' cannot be converted"),
        ("mistral", {"rope_parameters": {"rope_type": "magic"}}, "rope scaling 'magic'"),
        ("mistral", {"quantization_config": {"quant_method": "gptq"}}, "weights quantized with 'gptq'"),
        ("gemma3", {"use_bidirectional_attention": True}, "bidirectional"),
        ("bert", {"position_embedding_type": "relative_key"}, "position_embedding_type 'relative_key'"),
    ],
)
def test_what_cannot_be_converted_is_said(
    name: str, values: dict[str, Any], message: str, convert: Convert, tmp_path: Path
) -> None:
    with pytest.raises(Unsupported) as caught:
        convert(changed(tmp_path, name, "config.json", **values))
    assert message in caught.value.message


def test_modules_that_would_be_left_out_are_refused(convert: Convert, tmp_path: Path) -> None:
    files = checkpoint("bert")
    files["modules.json"] = tmp_path / "modules.json"
    files["modules.json"].write_text('[{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}]')
    with pytest.raises(Unsupported, match="module 0 is a 'Dense'"):
        convert(files)
    files = changed(
        tmp_path, "bert", "1_Pooling/config.json", pooling_mode_mean_tokens=False, pooling_mode_max_tokens=True
    )
    with pytest.raises(Unsupported, match="pooling by pooling_mode_max_tokens"):
        convert(files)


def test_f05_code_is_never_imported(convert: Convert, tmp_path: Path) -> None:
    files = changed(tmp_path, "mistral", "config.json", auto_map={"AutoModelForCausalLM": "evil.Model"})
    marker = tmp_path / "ran"
    for name in ("evil.py", "__init__.py", "conftest.py"):
        files[name] = tmp_path / f"code-{name}"
        files[name].write_text(f"open({str(marker)!r}, 'w')\n")
    assert convert(files).weights
    assert not marker.exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth", "model.pt"])
def test_f05_pickles_are_refused(name: str, convert: Convert, tmp_path: Path) -> None:
    path = tmp_path / "pickle"
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(FormatError, match=f"{name}: pickles can run code"):
        convert(
            {**{key: value for key, value in checkpoint("mistral").items() if key != "model.safetensors"}, name: path}
        )


def test_a_tensor_without_a_place(convert: Convert, tmp_path: Path) -> None:
    files = checkpoint("mistral")
    files["more.safetensors"] = write(tmp_path / "more", {"model.layers.0.self_attn.gate.weight": ONE})
    with pytest.raises(FormatError) as caught:
        convert(files)
    assert caught.value.message == (
        "more.safetensors: tensor 'model.layers.0.self_attn.gate.weight': the architecture llama has no place for it"
    )


def test_f13_numbers_that_no_one_reads_out(convert: Convert, tmp_path: Path) -> None:
    """More digits than Python turns into a number."""
    digits = "9" * 5000
    files = checkpoint("qwen2")
    tensors = load_file(files["model.safetensors"])
    tensors[f"model.layers.{digits}.mlp.up_proj.weight"] = tensors["model.norm.weight"]
    path = tmp_path / "model"
    save_file(tensors, path)
    with pytest.raises(
        FormatError, match=r"tensor 'model\.layers\.9{1,200}: the architecture qwen2 has no place for it"
    ):
        convert({**files, "model.safetensors": path})
    with pytest.raises(FormatError, match="added_tokens_decoder: token id '999"):
        convert(changed(tmp_path, "qwen2", "tokenizer_config.json", added_tokens_decoder={digits: {"content": "x"}}))
    shard = {f"a-1-of-{digits}.safetensors": path}
    assert set(open_checkpoint(Documents(shard))) == tensors.keys()


def test_f13_half_a_character(convert: Convert, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"tokenizer_config\.json: not valid JSON: .*surrogates not allowed"):
        convert(changed(tmp_path, "qwen2", "tokenizer_config.json", chat_template="{{ x }}\ud800"))
    whole = changed(tmp_path, "qwen2", "tokenizer_config.json", chat_template="\U0001f999")
    assert convert(whole).weights


def test_f13_a_panic_in_the_tokenizers_library(convert: Convert, tmp_path: Path) -> None:
    """A panic is no Exception: it would end more than the conversion."""
    steps = json.loads(checkpoint("llama")["tokenizer.json"].read_text(encoding="utf-8"))["post_processor"]
    files = changed(tmp_path, "llama", "tokenizer.json", post_processor={**steps, "special_tokens": {}})
    with pytest.raises(FormatError, match=r"tokenizer\.json cannot be used: no entry found"):
        convert(files)


def test_without_a_config(convert: Convert) -> None:
    with pytest.raises(FormatError, match=r"config.json is missing beside model.safetensors"):
        convert({"model.safetensors": CHECKPOINTS / "mistral" / "model.safetensors"})


# --- quantized weights --------------------------------------------------------------------------------------------


def quantized(tmp_path: Path, name: str, change: Callable[[dict[str, Any]], None]) -> Files:
    """A quantized checkpoint whose header is changed; the data stays."""
    files = checkpoint(name)
    whole = files["model.safetensors"].read_bytes()
    (length,) = struct.unpack_from("<Q", whole)
    header = json.loads(whole[8 : 8 + length])
    change(header)
    files["model.safetensors"] = write(tmp_path / "model", header, whole[8 + length :])
    return files


Q = "model.layers.0.self_attn.q_proj"


def rename(old: str, new: str) -> Callable[[dict[str, Any]], None]:
    return lambda header: header.__setitem__(new, header.pop(old))


def retype(name: str, **values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda header: header[name].update(values)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("nf4", rename(f"{Q}.weight.absmax", "x.rotary_emb.inv_freq"), "its absmax is missing"),
        ("nf4", rename(f"{Q}.weight.quant_map", "x.rotary_emb.inv_freq"), "its quant_map is missing"),
        ("nf4", rename(f"{Q}.weight.nested_absmax", "x.rotary_emb.inv_freq"), "type U8 have no meaning here"),
        ("fp4", rename(f"{Q}.weight.quant_state.bitsandbytes__fp4", f"{Q}.weight.quant_state.bitsandbytes__q9"),
         "in a way that is not known"),
        ("nf4", retype(f"{Q}.weight", dtype="I8"), "are no 4-bit matrix"),
        ("int8", rename(f"{Q}.SCB", "x.SCB"), "it scales a weight that is not there"),
        ("int8", rename(f"{Q}.SCB", "x.rotary_emb.inv_freq"), "weights of type I8 have no meaning here"),
        ("int8", retype(f"{Q}.weight", shape=[32, 128]), "does not fit a weight of [32, 128]"),
    ],
)  # fmt: skip
def test_f13_quantized_weights_that_lie(
    name: str, change: Callable[[dict[str, Any]], None], message: str, convert: Convert, tmp_path: Path
) -> None:
    with pytest.raises(FormatError) as caught:
        convert(quantized(tmp_path, name, change))
    assert caught.value.message.startswith("model.safetensors: tensor ")
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (b"nonsense", "not valid JSON"),
        (b"[]", "expected a JSON object"),
        (b'{"shape": [64, 64], "blocksize": 0}', "'blocksize' = 0"),
        (b'{"shape": [64, 1], "blocksize": 64}', "are no 4-bit matrix of shape [64, 1]"),
        (b'{"shape": [4611686018427387904, 4], "blocksize": 64}', "are no 4-bit matrix"),
        (b'{"shape": [64, 64], "blocksize": 32}', "expected 128 numbers, found 64"),
    ],
)
def test_f13_states_that_lie(state: bytes, message: str, convert: Convert, tmp_path: Path) -> None:
    files = checkpoint("fp4")
    whole = files["model.safetensors"].read_bytes()
    (length,) = struct.unpack_from("<Q", whole)
    entry = json.loads(whole[8 : 8 + length])[f"{Q}.weight.quant_state.bitsandbytes__fp4"]
    start, end = (8 + length + offset for offset in entry["data_offsets"])
    files["model.safetensors"] = tmp_path / "model"
    files["model.safetensors"].write_bytes(whole[:start] + state.ljust(end - start) + whole[end:])
    with pytest.raises(FormatError) as caught:
        convert(files)
    assert message in caught.value.message
