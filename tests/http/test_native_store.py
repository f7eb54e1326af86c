"""Row 67 of the native API's checklist: a store as the reference left it is served as it is."""

import hashlib
import json
import os
import time
from pathlib import Path

import pytest

from corral.testing.fake_weights import fake_weights

MEDIA = "application/vnd.ollama.image."


def blob(store: Path, data: bytes, media_type: str = "") -> dict[str, object]:
    """Lay a blob down; its entry in a manifest."""
    digest = hashlib.sha256(data).hexdigest()
    (store / "blobs" / f"sha256-{digest}").write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def lay_down(store: Path) -> None:
    """A model "theirs:1b", an unreferenced old blob, an unreferenced new one."""
    (store / "blobs").mkdir(parents=True)
    config = {"model_format": "gguf", "model_family": "llama", "model_families": ["llama"], "model_type": "1B"}
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": blob(store, json.dumps(config).encode(), "application/vnd.docker.container.image.v1+json"),
        "layers": [
            blob(store, fake_weights(), f"{MEDIA}model"),
            blob(store, b"plain", f"{MEDIA}template"),
            blob(store, b"You are theirs.", f"{MEDIA}system"),
            blob(store, b'{"temperature":0.5,"stop":["<x>"]}', f"{MEDIA}params"),
            blob(store, b'[{"role":"user","content":"hey"}]', f"{MEDIA}messages"),
            blob(store, b"MIT", f"{MEDIA}license"),
        ],
    }
    old = store / "blobs" / f"sha256-{hashlib.sha256(b'old').hexdigest()}"
    blob(store, b"old")
    os.utime(old, (time.time() - 7200,) * 2)
    blob(store, b"new")
    place = store / "manifests" / "registry.ollama.ai" / "library" / "theirs"
    place.mkdir(parents=True)
    (place / "1b").write_bytes(json.dumps(manifest, indent=2).encode())


@pytest.fixture
def settings(settings, tmp_path):
    lay_down(tmp_path / "models")
    return settings


async def test_row_67_a_store_of_the_reference(api, kernel, doubles, tmp_path):
    store = tmp_path / "models"
    (listed,) = (m for m in (await (await api.client.get("/api/tags")).json())["models"] if m["name"] == "theirs:1b")
    manifest = store / "manifests" / "registry.ollama.ai" / "library" / "theirs" / "1b"
    assert listed["digest"] == hashlib.sha256(manifest.read_bytes()).hexdigest()
    assert (listed["details"]["family"], listed["details"]["parameter_size"]) == ("llama", "1B")
    shown = await api.ok("show", {"model": "Theirs:1B"})
    assert (shown["system"], shown["license"], shown["template"]) == ("You are theirs.", "MIT", "plain")
    assert shown["messages"] == [{"role": "user", "content": "hey"}]
    said = {"model": "theirs:1b", "messages": [{"role": "user", "content": "x"}]}
    assert (await api.ok("chat", said))["message"]["content"] == "Hello!"
    prompt = bytes(doubles.engine.jobs[-1].token_ids).decode()
    assert prompt == "plain:\n[system] You are theirs.\n[user] hey\n[user] x\n[assistant]"
    assert doubles.engine.jobs[-1].options.temperature == 0.5
    left = {path.read_bytes() for path in (store / "blobs").iterdir() if path.stat().st_size < 10}
    assert (b"new" in left, b"old" in left) == (True, False)  # what nobody refers to goes after an hour
    assert manifest.read_bytes().startswith(b"{\n")  # untouched
