"""Rows 34 and 35 of the OpenAI API's checklist: the models there are."""

import os


async def test_row_34_the_list(openai, kernel):
    await openai.add("team/other:v1")
    store = kernel.store
    for name, moment in (("m", 1_700_000_000), ("team/other:v1", 1_700_000_100)):
        ref = kernel.parse_ref(name)
        path = store.root / "manifests" / ref.host / ref.namespace / ref.model / ref.tag
        os.utime(path, (moment, moment))
    assert await openai.ok("models") == {
        "object": "list",
        "data": [
            {"id": "team/other:v1", "object": "model", "created": 1_700_000_100, "owned_by": "team"},
            {"id": "m:latest", "object": "model", "created": 1_700_000_000, "owned_by": "library"},
        ],
    }


async def test_row_34_no_models(openai, kernel):
    await kernel.store.delete(kernel.parse_ref("m"))
    assert await openai.ok("models") == {"object": "list", "data": []}


async def test_row_35_one_model(openai):
    await openai.add("team/other:v1")
    for name in ("m", "M:latest", "library/m", "team/other:v1", "team%2Fother:v1"):
        answer = await openai.ok(f"models/{name}")
        assert list(answer) == ["id", "object", "created", "owned_by"]
        assert answer["id"] == name.replace("%2F", "/")
        assert answer["owned_by"] == ("team" if "team" in name else "library")


async def test_row_35_no_such_model(openai):
    assert await openai.error("models/nope", None) == (
        404,
        {"message": "model 'nope:latest' not found", "type": "not_found_error", "param": None, "code": None},
    )
    assert (await openai.error("models/a%20b", None))[0] == 400
