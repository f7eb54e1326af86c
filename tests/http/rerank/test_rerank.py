"""Reranking over HTTP, by a model's own head and by embedding."""

import math

import pytest

import corral_embeddings.plugin
import corral_native_api.plugin
import corral_rerank.plugin
import corral_store.plugin
from corral import BadRequest, RunnerStats
from corral.testing.bytes_tokenizer import BytesTokenizer
from corral.testing.fake_weights import fake_weights
from corral.testing.models import add_model
from corral.testing.scripted_engine import ScriptedRunner
from corral_rerank.reranker import Query, pair, sigmoid

PATHS = ["/v1/rerank", "/v2/rerank", "/api/rerank"]
BODY = {"model": "r", "query": "ab", "documents": ["x", "xyz", {"text": "xy"}]}


@pytest.fixture
def plugins():
    packages = (corral_embeddings, corral_native_api, corral_rerank, corral_store)
    return [package.plugin.Plugin for package in packages]


@pytest.fixture
async def models(kernel, doubles):
    """ "r" is a reranker that likes long pairs, "e" an embedding model."""
    special = {"add_bos": True, "add_eos": True, "context_length": 16, "metadata": {"tokenizer.ggml.model": "bert"}}
    await add_model(kernel, "r", fake_weights(capabilities=["rerank"], **special))
    await add_model(kernel, "e", fake_weights(capabilities=["embedding"]))
    doubles.engine.vector = lambda token_ids: (len(token_ids) - 8.0,)
    return doubles.engine


@pytest.mark.parametrize("path", PATHS)
async def test_a_reranker(client, models, path):
    response = await client.post(path, json=BODY)
    answer = await response.json()
    assert response.status == 200
    assert answer["results"] == [
        {"index": 1, "relevance_score": sigmoid(0)},
        {"index": 2, "relevance_score": sigmoid(-1)},
        {"index": 0, "relevance_score": sigmoid(-2)},
    ]
    assert (answer["model"], answer["method"], answer["object"]) == ("r", "reranker", "list")
    assert models.embed_jobs[-1].inputs[0] == (256, *b"ab", 257, *b"x", 257)
    assert answer["usage"] == {"prompt_tokens": 21, "total_tokens": 21}
    assert answer["prompt_eval_count"] == 21
    assert answer["id"]
    assert answer["meta"]["api_version"] == {"version": "2"}


async def test_any_other_model_scores_by_embedding(client, models):
    vectors = {b"ab": (1.0, 0.0), b"x": (0.0, 2.0), b"xyz": (3.0, 3.0), b"xy": (4.0, 0.0)}
    models.vector = lambda token_ids: vectors[bytes(token_ids)]
    answer = await (await client.post("/v1/rerank", json={**BODY, "model": "e"})).json()
    assert answer["method"] == "embedding"
    scores = {result["index"]: result["relevance_score"] for result in answer["results"]}
    assert list(scores) == [2, 1, 0]
    assert scores == pytest.approx({2: 1, 1: math.sqrt(0.5), 0: 0})


async def test_only_the_best_with_their_texts(client, models):
    answer = await (await client.post("/v1/rerank", json={**BODY, "top_n": 1, "return_documents": True})).json()
    assert answer["results"] == [{"index": 1, "relevance_score": 0.5, "document": {"text": "xyz"}}]
    answer = await (await client.post("/v1/rerank", json={**BODY, "top_n": 99})).json()
    assert len(answer["results"]) == 3


async def test_long_documents(client, models):
    body = {**BODY, "documents": ["0123456789" * 5]}
    answer = await (await client.post("/v1/rerank", json=body)).json()
    assert answer["truncated"] == {"prompt_tokens": 55, "kept_tokens": 16}
    assert models.embed_jobs[-1].inputs[0] == (256, *b"ab", 257, *b"01234567890", 257)
    answer = await (await client.post("/v1/rerank", json={**body, "max_tokens_per_doc": 3})).json()
    assert "truncated" not in answer
    assert models.embed_jobs[-1].inputs[0] == (256, *b"ab", 257, *b"012", 257)
    for field in ("truncate", "truncation"):
        response = await client.post("/v1/rerank", json={**body, field: False})
        assert (response.status, (await response.json())["message"]) == (
            400,
            "the input length exceeds the context length",
        )


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"model": ""}, 400, "model is required"),
        ({"model": "nope"}, 404, "not found"),
        ({"query": None}, 400, "query is required"),
        ({"query": 5}, 400, "query must be"),
        ({"documents": []}, 400, "documents is required"),
        ({"documents": ["a", 5]}, 400, "documents[1] must be"),
        ({"documents": ["a", {"title": "t"}]}, 400, "documents[1] must be"),
        ({"documents": "a"}, 400, "json: "),
        ({"top_n": 0}, 400, "top_n"),
        ({"query": "q" * 40}, 400, "leaves no room"),
    ],
)
async def test_what_is_refused(client, models, change, status, words):
    for path in PATHS:
        response = await client.post(path, json={**BODY, **change})
        answer = await response.json()
        assert response.status == status
        assert words in answer["message"]
        assert answer["detail"] == answer["message"]
        if path == "/api/rerank":
            assert answer["error"] == answer["message"]
        else:
            kind = {400: "invalid_request_error", 404: "not_found_error"}[status]
            assert answer["error"] == {"message": answer["message"], "type": kind, "param": None, "code": None}


async def test_scores_that_are_no_numbers(client, models):
    models.vector = lambda token_ids: (math.nan,)
    assert (await client.post("/v1/rerank", json=BODY)).status == 400


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"documents": ["a", "x" * 300]}, "documents[1]: the input length exceeds the context length"),
        ({"query": "x" * 300}, "query: the input length exceeds the context length"),
    ],
)
async def test_a_text_that_is_too_long_to_embed_is_named(client, models, change, expected):
    response = await client.post("/api/rerank", json={**BODY, "model": "e", "truncate": False, **change})
    assert (response.status, (await response.json())["error"]) == (400, expected)


async def test_a_reranker_gives_no_embeddings(client, models):
    response = await client.post("/api/embed", json={"model": "r", "input": "x"})
    assert response.status == 400
    assert "is a reranker" in (await response.json())["error"]


@pytest.mark.parametrize(("model", "special"), [("r", 3), ("e", 0)])
async def test_a_runner_with_less_room_than_the_context_bounds_a_pair(client, models, monkeypatch, model, special):
    """By its own head or by embedding: what the KV budget cannot hold is cut and told, or refused."""
    monkeypatch.setattr(ScriptedRunner, "stats", lambda self: RunnerStats(kv_tokens=10))
    models.vector = lambda token_ids: (1.0, 0.0)
    body = {"model": model, "query": "ab", "documents": ["0123456789AB"]}
    response = await client.post("/v1/rerank", json=body)
    answer = await response.json()
    assert response.status == 200, answer
    assert max(map(len, models.embed_jobs[-1].inputs)) == 10
    assert answer["truncated"] == {"prompt_tokens": 14 + special, "kept_tokens": 10 + (0 if special else 2)}
    response = await client.post("/v1/rerank", json={**body, "truncate": False})
    assert (response.status, "exceeds the context length" in await response.text()) == (400, True)


async def test_a_document_that_is_cut_to_embed_it_is_told(client, models):
    body = {**BODY, "model": "e", "documents": ["x" * 300, "y"]}
    answer = await (await client.post("/api/rerank", json=body)).json()
    assert answer["truncated"] == {"prompt_tokens": 303, "kept_tokens": 259}
    assert "truncated" not in await (await client.post("/api/rerank", json={**BODY, "model": "e"})).json()


def test_two_separators_for_robertas_kind():
    tokenizer = BytesTokenizer(adds_bos=True, adds_eos=True)
    asked = Query(model="r", query="a", documents=())
    assert pair(tokenizer, asked, "b", 16, doubled=True) == ((256, *b"a", 257, 257, *b"b", 257), 6)
    with pytest.raises(BadRequest, match="leaves no room"):
        pair(tokenizer, asked, "b", 5, doubled=True)


@pytest.mark.parametrize(("logit", "score"), [(0, 0.5), (-1000, 0), (1000, 1), (2, 1 / (1 + math.exp(-2)))])
def test_a_logit_as_a_probability(logit, score):
    assert sigmoid(logit) == pytest.approx(score)
