"""Every field and option that Ollama's SDK can send: it is seen at work, or is one that means nothing here."""

import base64
from typing import Any

import pytest

USER = {"role": "user", "content": "x"}
TOOL = {"type": "function", "function": {"name": "f"}}
PNG = base64.b64encode(b"\x89PNG").decode()
LEAST: dict[str, dict[str, Any]] = {
    "chat": {"model": "t", "messages": [USER]},
    "generate": {"model": "t", "prompt": "x"},
}


def text(job):
    return bytes(job.token_ids)


BOTH: list[tuple[str, Any, Any]] = [
    ("format", "json", lambda job, _: job.constraint.kind == "json"),
    ("format", {"type": "object"}, lambda job, _: job.constraint.kind == "json_schema"),
    ("logprobs", True, lambda _, answer: answer["logprobs"]),
    ("top_logprobs", 0, lambda job, _: job.n_logprobs == -1),
    ("keep_alive", "1m", lambda _, answer: answer["done"]),
]
ONE: list[tuple[str, str, Any, Any]] = [
    ("chat", "tools", [TOOL], lambda job, _: b"[tool] f" in text(job)),
    ("chat", "messages", [{"role": "tool", "content": "y", "tool_name": "f"}], lambda job, _: b"<f>" in text(job)),
    ("chat", "messages", [{"role": "assistant", "thinking": "hm"}], lambda job, _: b"(hm)" in text(job)),
    (
        "chat",
        "messages",
        [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]}],
        lambda job, _: b'f{"a": 1}' in text(job),
    ),
    ("chat", "messages", [{**USER, "images": [PNG]}], lambda job, _: b"[img]" in text(job)),
    ("generate", "images", [PNG], lambda job, _: b"[img]" in text(job)),
    ("generate", "system", "be kind", lambda job, _: b"[system] be kind" in text(job)),
    ("generate", "suffix", "y", lambda job, _: b"y" in text(job)),
    ("generate", "context", [72, 105], lambda job, _: text(job).startswith(b"Hi")),
    ("generate", "raw", True, lambda job, _: text(job) == b"x"),
]
OPTIONS: dict[str, Any] = {
    "num_keep": 7,
    "seed": 7,
    "top_k": 7,
    "top_p": 0.5,
    "min_p": 0.5,
    "typical_p": 0.5,
    "repeat_last_n": 7,
    "temperature": 0.5,
    "repeat_penalty": 1.5,
    "presence_penalty": 0.5,
    "frequency_penalty": 0.5,
    "mirostat": 1,
    "mirostat_tau": 0.5,
    "mirostat_eta": 0.5,
    "num_batch": 7,
    "num_thread": 7,
}
MEANINGLESS: dict[str, Any] = {
    "numa": True,
    "num_gpu": 1,
    "main_gpu": 1,
    "low_vram": True,
    "f16_kv": True,
    "logits_all": True,
    "vocab_only": True,
    "use_mmap": True,
    "use_mlock": True,
    "embedding_only": False,
    "tfs_z": 0.5,
    "penalize_newline": True,
}


@pytest.fixture
async def able(api):
    """A model of all that messages can ask for, "t"."""
    able = ["completion", "vision"]
    await api.add("t", "tools thinking insert", weights={"capabilities": able})
    return api


@pytest.mark.parametrize("row", [*((path, *row) for path in LEAST for row in BOTH), *ONE], ids=lambda row: row[1])
async def test_a_field_works(able, doubles, row):
    path, field, value, shows = row
    answer = await able.ok(path, {**LEAST[path], field: value})
    assert shows(doubles.engine.jobs[-1], answer)


@pytest.mark.parametrize("path", LEAST)
@pytest.mark.parametrize("think", [True, False, "high"])
async def test_think(able, doubles, path, think):
    doubles.engine.reply = lambda job: b"<think>hm</think>y"
    answer = await able.ok(path, {**LEAST[path], "think": think})
    said = answer.get("message", answer)
    assert said.get("thinking") == ("hm" if think else None)


@pytest.mark.parametrize("path", LEAST)
async def test_options_reach_the_engine(able, doubles, path):
    await able.ok(path, {**LEAST[path], "options": {**OPTIONS, **MEANINGLESS, "num_ctx": 64, "num_predict": 3}})
    job = doubles.engine.jobs[-1]
    assert {name: getattr(job.options, name) for name in OPTIONS} == OPTIONS
    assert (job.num_ctx, job.max_tokens) == (64, 3)


async def test_fields_of_embeddings(api, doubles):
    await api.add("e", weights={"capabilities": ["embedding"]})
    for field, value in (("truncate", True), ("keep_alive", 60), ("options", {"num_ctx": 64}), ("dimensions", 2)):
        answer = await api.ok("embed", {"model": "e", "input": ["x", "yz"], field: value})
        assert len(answer["embeddings"]) == 2
    assert len(answer["embeddings"][0]) == 2
    assert (await api.error("embed", {"model": "e", "input": "x" * 300, "truncate": False}))[0] == 400
