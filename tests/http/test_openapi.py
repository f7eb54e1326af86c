"""GET /openapi.json: what the document says of every route, and that answers are as it says."""

import json
from typing import Any

import pytest

import corral_anthropic_api.plugin
import corral_openai_api.plugin
import corral_openapi.plugin
from corral.testing.fake_weights import fake_weights
from corral.testing.models import add_model
from corral_openapi.document import document

USER = {"role": "user", "content": "x"}


@pytest.fixture
def plugins(plugins):
    more = [corral_anthropic_api.plugin.Plugin, corral_openai_api.plugin.Plugin, corral_openapi.plugin.Plugin]
    return [*dict.fromkeys([*plugins, *more])]


@pytest.fixture
async def described(client, kernel):
    await add_model(kernel, "m", fake_weights(capabilities=["completion", "embedding"]), template="plain")
    response = await client.get("/openapi.json")
    assert response.status == 200
    return await response.json()


def found(described, path, method="post") -> Any:
    return described["paths"][path][method]


async def test_every_route_is_there(described, kernel):
    routes = {
        (route.method, route.path.partition(":")[0]) for each in kernel.routes.values() for route in each.table(kernel)
    }
    told = {
        (method.upper(), path.partition("}")[0])
        for path, operations in described["paths"].items()
        for method in operations
    }
    assert told == {(method, path.partition("}")[0]) for method, path in routes}
    operations = [each for path in described["paths"].values() for each in path.values()]
    assert [each for each in operations if not each["summary"] and each["tags"] != ["doubles"]] == []
    assert len({each["operationId"] for each in operations}) == len(operations)


async def test_references_resolve_and_no_schema_is_left_over(described):
    text = json.dumps(described)
    schemas = described["components"]["schemas"]
    for name in schemas:
        assert f'"#/components/schemas/{name}"' in text
    assert text.count('"$ref"') == sum(text.count(f'"$ref": "#/components/schemas/{name}"') for name in schemas)


async def test_bodies_are_the_ones_that_are_decoded(described):
    chat = found(described, "/api/chat")["requestBody"]["content"]["application/json"]["schema"]
    name = chat["$ref"].rpartition("/")[2]
    assert name.endswith("ChatBody")
    properties = described["components"]["schemas"][name]["properties"]
    assert {"model", "messages", "tools", "think", "_debug_render_only"} <= properties.keys()
    assert found(described, "/api/blobs/{digest}")["requestBody"]["content"] == {"application/octet-stream": {}}
    assert found(described, "/api/blobs/{digest}", "head")["parameters"][0]["name"] == "digest"


async def test_streams_and_errors_are_told(described):
    answers = found(described, "/api/generate")["responses"]
    assert answers["200"]["content"].keys() == {"application/json", "application/x-ndjson"}
    frames = answers["200"]["content"]["application/x-ndjson"]["x-frame"]["anyOf"]
    assert answers["default"]["content"]["application/json"]["schema"] == frames[-1]
    assert frames[-1]["$ref"].endswith("ErrorWire")
    assert found(described, "/", "get")["responses"]["200"]["content"]["text/plain"]["schema"] == {"type": "string"}


CALLS = [
    ("get", "/api/tags", None),
    ("get", "/api/ps", None),
    ("get", "/api/version", None),
    ("get", "/api/status", None),
    ("get", "/api/experimental/model-recommendations", None),
    ("post", "/api/show", {"model": "m"}),
    ("post", "/api/show", {"model": "m", "verbose": True}),
    ("post", "/api/generate", {"model": "m", "prompt": "x", "stream": False, "logprobs": True, "top_logprobs": 2}),
    ("post", "/api/generate", {"model": "m", "prompt": "x", "_debug_render_only": True}),
    ("post", "/api/chat", {"model": "m", "messages": [USER], "stream": False}),
    ("post", "/api/chat", {"model": "m"}),
    ("post", "/api/embed", {"model": "m", "input": ["a", "b"]}),
    ("post", "/api/embed", {"model": "m"}),
    ("post", "/api/embeddings", {"model": "m", "prompt": "a"}),
    ("post", "/api/tokenize", {"model": "m", "content": "é"}),
    ("post", "/api/tokenize", {"model": "m", "content": "é", "with_pieces": True}),
    ("post", "/api/detokenize", {"model": "m", "tokens": [65]}),
    ("post", "/api/pull", {"model": "m", "stream": False}),
    ("post", "/api/show", {"model": "missing"}),
    ("post", "/api/me", None),
    ("get", "/v1/models", None),
    ("get", "/v1/models/m", None),
    ("get", "/v1/models/missing", None),
    ("post", "/v1/chat/completions", {"model": "m", "messages": [USER], "logprobs": True, "top_logprobs": 1}),
    ("post", "/v1/chat/completions", {"model": "m"}),
    ("post", "/v1/completions", {"model": "m", "prompt": "x", "logprobs": 1}),
    ("post", "/v1/embeddings", {"model": "m", "input": "x"}),
    ("post", "/v1/embeddings", {"model": "m", "input": "x", "encoding_format": "base64"}),
    ("post", "/v1/responses", {"model": "m", "input": "x"}),
    ("post", "/v1/messages", {"model": "m", "messages": [USER], "max_tokens": 9}),
    ("post", "/v1/messages", {"model": "m", "messages": []}),
    ("post", "/v1/messages/count_tokens", {"model": "m", "messages": [USER]}),
]


async def test_answers_are_as_described(described, client):
    jsonschema = pytest.importorskip("jsonschema")
    for method, path, body in CALLS:
        response = await client.request(method, path, json=body)
        template = path if path in described["paths"] else path.rpartition("/")[0] + "/{model}"
        answers = found(described, template, method)["responses"]
        schema = answers["200" if response.status == 200 else "default"]["content"]["application/json"]["schema"]
        jsonschema.validate(await response.json(), {**schema, "components": described["components"]})


async def test_the_kernel_alone_is_described(make_kernel):
    kernel = await make_kernel([corral_openapi.plugin.Plugin], {})
    assert list(document(kernel)["paths"]) == ["/openapi.json"]
