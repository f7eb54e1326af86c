"""Rows 5, 32 and 33 of the OpenAI API's checklist: embeddings."""

import array
import base64
import math

import pytest

ASK = {"model": "m", "input": "abc"}
LENGTH = math.hypot(3, 12)


async def test_row_33_floats(openai):
    answer = await openai.ok("embeddings", ASK)
    assert list(answer) == ["object", "data", "model", "usage"]
    assert (answer["object"], answer["model"]) == ("list", "m")
    assert answer["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    (row,) = answer["data"]
    assert list(row) == ["object", "embedding", "index"]
    assert (row["object"], row["index"]) == ("embedding", 0)
    assert row["embedding"] == pytest.approx([3 / LENGTH, 12 / LENGTH])


@pytest.mark.parametrize("spelling", ["base64", "BASE64"])
async def test_row_33_base64(openai, spelling):
    plain = (await openai.ok("embeddings", ASK))["data"][0]["embedding"]
    packed = (await openai.ok("embeddings", {**ASK, "encoding_format": spelling}))["data"][0]["embedding"]
    numbers = array.array("f", base64.b64decode(packed))
    assert list(numbers) == list(array.array("f", plain))


async def test_row_33_formats_that_are_none(openai):
    status, error = await openai.error("embeddings", {**ASK, "encoding_format": "int8"})
    assert (status, error["param"]) == (400, "encoding_format")
    assert error["message"] == ("Invalid value for 'encoding_format' = int8. Supported values: ['float', 'base64'].")


async def test_row_33_dimensions(openai):
    answer = await openai.ok("embeddings", {**ASK, "dimensions": 1})
    assert answer["data"][0]["embedding"] == [1.0]
    assert (await openai.error("embeddings", {**ASK, "dimensions": -1}))[1]["param"] == "dimensions"


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("", [(256,)]),
        (["a", ""], [(97,), (256,)]),
        ([72, 105], [(72, 105)]),
        ([[72], [105, 33]], [(72,), (105, 33)]),
        (["a", [98]], [(97,), (98,)]),
    ],
)
async def test_row_32_inputs(openai, doubles, value, sent):
    answer = await openai.ok("embeddings", {**ASK, "input": value})
    assert list(doubles.engine.embed_jobs[-1].inputs) == sent
    assert [row["index"] for row in answer["data"]] == list(range(len(sent)))


@pytest.mark.parametrize(
    ("value", "text", "param"),
    [
        (None, "invalid input", None),
        ([], "invalid input", None),
        (5, "invalid input type", None),
        ({"a": 1}, "invalid input type", None),
        (["a", 5], "invalid input type", "input[1]"),
        ([[]], "invalid input type", "input[0]"),
        ([["a"]], "invalid input type", "input[0]"),
        ([True], "invalid input type", "input[0]"),
        ([1.5], "invalid input type", "input[0]"),
    ],
)
async def test_row_32_inputs_that_are_none(openai, value, text, param):
    code = "invalid_type" if param else None
    assert await openai.error("embeddings", {**ASK, "input": value}) == (
        400,
        {"message": text, "type": "invalid_request_error", "param": param, "code": code},
    )


async def test_token_ids_outside_the_vocabulary(openai, doubles):
    expected = "token id {} is not in the vocabulary of 258 tokens"
    for value, message in (
        ([72, 258], expected.format(258)),
        ([[72], [-1, 5]], "input[1]: " + expected.format(-1)),
        ([2**70], expected.format(2**70)),
    ):
        status, error = await openai.error("embeddings", {**ASK, "input": value})
        assert (status, error["message"]) == (400, message)
        assert (error["param"], error["code"]) == ("input", "invalid_value")
    assert doubles.engine.embed_jobs == []


@pytest.mark.parametrize("encoding", ["float", "base64"])
async def test_with_partial_a_bad_input_fails_alone(openai, encoding):
    ask = {**ASK, "input": ["abc", "y" * 300, [999]], "truncate": False, "encoding_format": encoding, "partial": True}
    good, long, outside = (await openai.ok("embeddings", ask))["data"]
    assert good == (await openai.ok("embeddings", {**ASK, "encoding_format": encoding}))["data"][0]
    assert (long["embedding"], long["index"]) == ([], 1)
    assert long["error"] == "the input length exceeds the context length"
    assert outside["error"] == "token id 999 is not in the vocabulary of 258 tokens"


async def test_row_05_names(openai):
    for model in ("", None):
        status, error = await openai.error("embeddings", {"input": "x", "model": model})
        assert (status, error["message"]) == (404, "model '' not found")
    status, error = await openai.error("embeddings", {**ASK, "model": "nope"})
    assert (status, error["message"]) == (404, 'model "nope" not found, try pulling it first')


async def test_long_inputs(openai, doubles):
    answer = await openai.ok("embeddings", {**ASK, "input": ["y" * 300, "z"]})
    assert answer["usage"] == {"prompt_tokens": 257, "total_tokens": 257}
    assert answer["truncated"] == {"prompt_tokens": 301, "kept_tokens": 257}
    assert len(doubles.engine.embed_jobs[-1].inputs[0]) == 256
    await openai.ok("embeddings", {**ASK, "input": "y" * 300, "num_ctx": 50, "options": {"num_ctx": 60}})
    assert len(doubles.engine.embed_jobs[-1].inputs[0]) == 50
    status, error = await openai.error("embeddings", {**ASK, "input": "y" * 300, "truncate": False})
    assert (status, error["message"]) == (400, "the input length exceeds the context length")
    assert (error["param"], error["code"]) == ("input", "context_length_exceeded")


async def test_fields_that_change_nothing(openai, kernel):
    await openai.ok("embeddings", {**ASK, "user": "u", "options": {}, "nonsense": 1, "keep_alive": 0})
    assert kernel.pool.loaded() == []
