"""Row 45 of the OpenAI API's checklist: the form of a transcription, which no engine here can make (decision 8)."""

import pytest
from aiohttp import FormData

from corral_openai_api import transcriptions


async def refused(openai, data, **more):
    response = await openai.client.post("/v1/audio/transcriptions", data=data, **more)
    error = (await response.json())["error"]
    assert list(error) == ["message", "type", "param", "code"]
    return response.status, error["message"]


def form(**fields):
    data = FormData(default_to_multipart=True)
    for name, value in fields.items():
        data.add_field(name, value, filename="a.wav" if name == "file" else None)
    return data


async def test_what_is_missing(openai):
    assert await refused(openai, form(file=b"RIFF")) == (400, "model is required")
    status, text = await refused(openai, form(model="m"))
    assert (status, text.startswith("file is required: ")) == (400, True)
    assert await refused(openai, form(model="m", file=b"")) == (400, "audio file is empty")
    assert await refused(openai, form(model="nope", file=b"RIFF")) == (404, "model 'nope' not found")


async def test_no_model_hears(openai):
    data = form(model="m", file=b"RIFF", response_format="text")
    assert await refused(openai, data) == (400, "registry.ollama.ai/library/m:latest does not support audio")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"{}", "application/json"),
        (b"x", "multipart/form-data"),
        (b"junk", "multipart/form-data; boundary=b"),
        (b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nm', "multipart/form-data; boundary=b"),
        (b"--b\r\nno header", "multipart/form-data; boundary=b"),
    ],
)
async def test_what_is_no_form(openai, data, kind):
    status, text = await refused(openai, data, headers={"Content-Type": kind})
    assert status == 400
    assert text.startswith(("failed to parse multipart form: ", "model is required", "file is required"))


async def test_a_form_is_bounded(openai, monkeypatch):
    monkeypatch.setattr(transcriptions, "MOST_BYTES", 1000)
    status, text = await refused(openai, form(model="m", file=b"x" * 2000))
    assert (status, text) == (400, "failed to parse multipart form: more than 1000 bytes")


async def test_no_form_at_all(openai):
    for more in ({}, {"headers": {"Content-Type": ""}}, {"json": {"model": "m"}}):
        response = await openai.client.post("/v1/audio/transcriptions", **more)
        assert response.status == 400
        assert (await response.json())["error"]["message"].startswith("failed to parse multipart form")
