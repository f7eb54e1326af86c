"""Rows 43-46 of the native API's checklist: embeddings."""

import math

import pytest

from corral.runners import RunnerStats
from corral.testing.scripted_engine import ScriptedRunner


async def test_row_43_shapes_and_order(api, doubles):
    one = await api.ok("embed", {"model": "m", "input": "abc"})
    assert one.keys() == {"model", "embeddings", "total_duration", "load_duration", "prompt_eval_count"}
    many = await api.ok("embed", {"model": "m", "input": ["abc", "a", "abcd"]})
    assert len(many["embeddings"]) == 3
    assert many["embeddings"][0] == one["embeddings"][0]
    assert (one["prompt_eval_count"], many["prompt_eval_count"]) == (3, 8)
    for vector in many["embeddings"]:
        assert math.isclose(math.hypot(*vector), 1)
    assert many["embeddings"][1] == [0.6, 0.8]


@pytest.mark.parametrize("body", [{}, {"input": None}, {"input": ""}, {"input": []}])
async def test_row_43_no_input_loads(api, kernel, body):
    assert await api.ok("embed", {"model": "m", **body}) == {"model": "m", "embeddings": []}
    assert len(kernel.pool.loaded()) == 1


async def test_row_43_an_empty_text_is_a_text(api, doubles):
    answer = await api.ok("embed", {"model": "m", "input": [""]})
    assert len(answer["embeddings"]) == 1
    assert doubles.engine.embed_jobs[0].inputs == ((256,),)  # nothing is added, so it is what begins a text
    await api.add("b", weights={"add_bos": True, "add_eos": True})
    await api.ok("embed", {"model": "b", "input": ["", "a"]})
    assert doubles.engine.embed_jobs[1].inputs == ((256, 257), (256, 97, 257))


@pytest.mark.parametrize("wrong", [1, True, {}, [1], ["a", None], [["a"]]])
async def test_row_43_wrong_types(api, wrong):
    assert await api.error("embed", {"model": "missing", "input": wrong}) == (400, "invalid input type")


async def test_row_43_dimensions_and_a_zero_vector(api, doubles):
    doubles.engine.vector = lambda token_ids: (3.0, 4.0, 12.0)
    for dimensions, expected in (
        (2, [0.6, 0.8]),
        (1, [1.0]),
        (0, [3 / 13, 4 / 13, 12 / 13]),
        (-1, [3 / 13, 4 / 13, 12 / 13]),
        (99, [3 / 13, 4 / 13, 12 / 13]),
    ):
        answer = await api.ok("embed", {"model": "m", "input": "x", "dimensions": dimensions})
        assert answer["embeddings"][0] == pytest.approx(expected)
    doubles.engine.vector = lambda token_ids: (0.0, 0.0)
    assert (await api.ok("embed", {"model": "m", "input": "x"}))["embeddings"] == [[0, 0]]


async def test_row_44_truncate(api, doubles):
    await api.add("b", weights={"context_length": 8, "add_bos": True, "add_eos": True})
    answer = await api.ok("embed", {"model": "b", "input": ["abcdefghijk", "ab"]})
    assert doubles.engine.embed_jobs[-1].inputs == ((256, *b"abcdef", 257), (256, *b"ab", 257))
    assert answer["prompt_eval_count"] == 12
    assert answer["truncated"] == {"prompt_tokens": 17, "kept_tokens": 12}
    assert "truncated" not in await api.ok("embed", {"model": "b", "input": ["abcdef", "ab"]})
    assert await api.error("embed", {"model": "b", "input": "abcdefghijk", "truncate": False}) == (
        400,
        "the input length exceeds the context length",
    )


async def test_one_bad_input_among_several_is_named(api, doubles):
    long, ask = "x" * 300, {"model": "m", "input": ["a", "x" * 300, "b"], "truncate": False}
    assert await api.error("embed", ask) == (400, "input[1]: the input length exceeds the context length")
    assert await api.error("embed", {**ask, "input": [long]}) == (400, "the input length exceeds the context length")
    assert doubles.engine.embed_jobs == []
    doubles.engine.vector = lambda token_ids: (math.nan if token_ids == (98,) else 1.0, 1.0)
    assert await api.error("embed", {**ask, "input": ["a", "b"]}) == (
        400,
        "input[1]: embedding contains NaN or Inf values",
    )


async def test_with_partial_a_bad_input_fails_alone(api, doubles):
    doubles.engine.vector = lambda token_ids: (math.inf, 1.0) if token_ids == (98,) else (0.0, 2.0)
    ask = {"model": "m", "truncate": False, "partial": True}
    answer = await api.ok("embed", {**ask, "input": ["a", "x" * 300, "b", "cc"]})
    assert answer["embeddings"] == [[0, 1], [], [], [0, 1]]
    assert answer["errors"] == [
        {"index": 1, "error": "the input length exceeds the context length"},
        {"index": 2, "error": "embedding contains NaN or Inf values"},
    ]
    assert answer["prompt_eval_count"] == 4  # what was evaluated
    assert (await api.ok("embed", {**ask, "input": "x" * 300}))["embeddings"] == [[]]
    assert "errors" not in await api.ok("embed", {**ask, "input": ["a", "cc"]})


async def test_inputs_are_cut_to_what_the_runner_holds(api, doubles):
    await api.add("small", weights={"context_length": 4096})
    await api.ok("embed", {"model": "small", "input": "y" * 5000, "options": {"num_ctx": 10**6}})
    assert len(doubles.engine.embed_jobs[0].inputs[0]) == 4096


async def test_ps_shows_the_context_that_inputs_are_cut_to(api, monkeypatch):
    """Not what the runner has room for, which is shared."""
    monkeypatch.setattr(ScriptedRunner, "stats", lambda _: RunnerStats(weights_bytes=1, kv_bytes=0, kv_tokens=4096))

    async def shown():
        (row,) = (await (await api.client.get("/api/ps")).json())["models"]
        return row["context_length"]

    await api.add("short", weights={"context_length": 64}, parameters={"num_ctx": 32})
    await api.ok("embed", {"model": "short", "input": []})
    assert await shown() == 64
    await api.ok("embed", {"model": "short", "input": "y" * 100})
    assert await shown() == 32


async def test_row_44_vectors_that_are_no_numbers(api, doubles):
    for bad in (math.nan, math.inf):
        doubles.engine.vector = lambda token_ids, bad=bad: (bad, 1.0)
        assert await api.error("embed", {"model": "m", "input": "x"}) == (
            400,
            "embedding contains NaN or Inf values",
        )


async def test_row_45_a_model_without_embeddings(api):
    await api.add("c", weights={"embeds": False})
    status, text = await api.error("embed", {"model": "c", "input": "x"})
    assert (status, text) == (400, "this model has no embeddings")


async def test_row_46_the_older_endpoint(api, doubles):
    assert await api.ok("embeddings", {"model": "m", "prompt": "ab"}) == {"embedding": [3.0, 8.0]}
    assert await api.ok("embeddings", {"model": "m", "prompt": ""}) == {"embedding": []}
    assert await api.ok("embeddings", {"model": "m"}) == {"embedding": []}


async def test_f32_too_many_inputs(api):
    expected = (400, "10001 inputs; at most 10000 are served")
    assert await api.error("embed", {"model": "m", "input": ["x"] * 10_001}) == expected
