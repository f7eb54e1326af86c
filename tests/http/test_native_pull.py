"""Row 55 of the native API's checklist where no source serves the name, unlike the reference, which asks a registry
(decision 8).
"""

import pytest


@pytest.fixture
def tables():
    return {"doubles": {"offer": ["loader", "tokenizer", "template", "engine"]}}


KEPT = "nowhere to pull m:latest from: the installed model stays"


@pytest.mark.parametrize("name", ["m", "m:latest", "registry.ollama.ai/library/m"])
async def test_row_55_a_model_that_is_installed_stays(api, kernel, name):
    before = kernel.store.get(kernel.store.resolve(kernel.parse_ref("m")))
    steps = [{"status": "pulling manifest"}, {"status": KEPT}, {"status": "success"}]
    assert await api.lines("pull", {"model": name}) == steps
    assert await api.ok("pull", {"model": name}) == {"status": "success"}
    assert kernel.store.get(before.ref).digest == before.digest


async def test_row_55_an_unknown_model_is_told_in_the_stream(api):
    first, last = await api.lines("pull", {"model": "nope"})
    assert first == {"status": "pulling manifest"}
    assert last["error"].startswith("model 'nope:latest' not found, and no source ")
    assert await api.error("pull", {"model": "nope", "stream": False}) == (404, last["error"])


async def test_row_55_a_bad_name(api):
    assert await api.error("pull", {"model": "bad name!"}) == (400, "invalid model name")
