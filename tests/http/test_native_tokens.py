"""Text to tokens and back, with llama.cpp's meaning."""

import pytest


async def test_tokenize(api):
    assert await api.ok("tokenize", {"model": "m", "content": "hé"}) == {"tokens": [*"hé".encode()]}
    for empty in ("", []):
        assert await api.ok("tokenize", {"model": "m", "content": empty}) == {"tokens": []}


async def test_special_tokens(api):
    await api.add("b", weights={"add_bos": True, "add_eos": True})
    for body, expected in (
        ({}, [256, 97]),
        ({"add_special": True}, [256, 256, 97, 257]),
        ({"parse_special": False}, [*b"<s>a"]),
    ):
        assert (await api.ok("tokenize", {"model": "b", "content": "<s>a", **body}))["tokens"] == expected


async def test_pieces(api):
    answer = await api.ok("tokenize", {"model": "m", "content": "aé</s>", "with_pieces": True})
    assert answer["tokens"] == [
        {"id": 97, "piece": "a"},
        {"id": 0xC3, "piece": [0xC3]},
        {"id": 0xA9, "piece": [0xA9]},
        {"id": 257, "piece": "</s>"},
    ]


async def test_texts_and_ids_mixed(api):
    await api.add("b", weights={"add_bos": True})
    answer = await api.ok("tokenize", {"model": "b", "content": ["a", 257, "b"], "add_special": True})
    assert answer["tokens"] == [256, 97, 257, 98]


async def test_detokenize_shows_special_tokens(api):
    assert await api.ok("detokenize", {"model": "m", "tokens": [256, 97, 257]}) == {"content": "<s>a</s>"}
    assert await api.ok("detokenize", {"model": "m", "tokens": []}) == {"content": ""}


@pytest.mark.parametrize(("path", "field"), [("tokenize", "content"), ("detokenize", "tokens")])
@pytest.mark.parametrize("more", [{}, {"text": "x", "token": [1]}, {"content": None, "tokens": None}])
async def test_nothing_to_work_on(api, path, field, more):
    assert await api.error(path, {"model": "m", **more}) == (400, f"{field} is required")


@pytest.mark.parametrize("token_id", [-1, 258, 2**63])
async def test_ids_outside_the_vocabulary(api, token_id):
    for path, field in (("detokenize", "tokens"), ("tokenize", "content")):
        status, text = await api.error(path, {"model": "m", field: [token_id]})
        assert status == 400
        assert text == f"token id {token_id} is not in the vocabulary of 258 tokens"


async def test_a_file_with_a_vocabulary_only(api):
    await api.add("v", weights={"vocabulary_only": True})
    assert (await api.ok("tokenize", {"model": "v", "content": "a"}))["tokens"] == [97]
    status, text = await api.error("generate", {"model": "v", "prompt": "x"})
    assert status == 400
    assert "vocabulary only" in text


async def test_names(api):
    for path in ("tokenize", "detokenize"):
        assert await api.error(path, {"content": "x"}) == (400, "model is required")
        assert await api.error(path, {"model": "X"}) == (404, "model 'X' not found")
