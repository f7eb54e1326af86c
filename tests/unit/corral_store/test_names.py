"""The grammar of model names."""

import pytest

from corral import BadRequest, Forbidden
from corral_store import names

VALID = {
    "smollm2": ("registry.ollama.ai", "library", "smollm2", "latest"),
    "smollm2:135m": ("registry.ollama.ai", "library", "smollm2", "135m"),
    "me/m": ("registry.ollama.ai", "me", "m", "latest"),
    "h/library/m:x": ("h", "library", "m", "x"),
    "localhost:5000/ns/m": ("localhost:5000", "ns", "m", "latest"),
    "localhost:5000/ns/m:t": ("localhost:5000", "ns", "m", "t"),
    "http://host:80/ns/m:t": ("host:80", "ns", "m", "t"),
    "hf.co/org/Repo-1.2:Q4_K_M": ("hf.co", "org", "Repo-1.2", "Q4_K_M"),
    "_m:_t": ("registry.ollama.ai", "library", "_m", "_t"),
    "m:local": ("registry.ollama.ai", "library", "m", "latest"),
    "m:t:LOCAL": ("registry.ollama.ai", "library", "m", "t"),
    "local": ("registry.ollama.ai", "library", "local", "latest"),
    "h" * 350 + "/" + "n" * 80 + "/" + "m" * 80 + ":" + "t" * 80: ("h" * 350, "n" * 80, "m" * 80, "t" * 80),
}
INVALID = (
    "", ":", "/", "m:", ":t", "/m", "a//m", "//m", "h/n/", "bad name!", "m@sha256:" + "0" * 64, "a/b/c/d/e", "n.s/m",
    "../m", "m:..", "..", ".m", "-m", "m" * 81, "n" * 81 + "/m", "m:" + "t" * 81, "h" * 351 + "/n/m", "m" * 1_000_000,
    "<script>", "m\x00", "m\n", "\u202em", "é", "con", "CON:x", "nul.gguf", "m.", "file://h/n/m", "http:///n/m",
    "ftp://host/n/m", "m:\N{ARABIC-INDIC DIGIT ONE}",
)  # fmt: skip


@pytest.mark.parametrize("text", VALID)
def test_valid_names(text: str) -> None:
    ref = names.parse(text)
    assert (ref.host, ref.namespace, ref.model, ref.tag) == VALID[text]


@pytest.mark.parametrize("text", INVALID)
def test_f19_invalid_names(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        names.parse(text)
    assert caught.value.message == "invalid model name"


def test_the_display_form() -> None:
    shown = {"smollm2": "smollm2:latest", "library/smollm2:x": "smollm2:x", "me/m": "me/m:latest"}
    shown |= {"REGISTRY.ollama.ai/Library/m": "m:latest", "h/library/m:x": "h/library/m:x"}
    assert {text: names.parse(text).name for text in shown} == shown


def test_the_scheme_is_kept() -> None:
    assert names.parse("http://host/ns/m").scheme == "http"
    assert names.parse("HTTPS://host/ns/m").scheme == "https"
    assert names.parse("m").scheme == "https"


@pytest.mark.parametrize("text", ["m:cloud", "m:Cloud", "m:120b-cloud", "me/m:120b-CLOUD"])
def test_cloud_models_are_refused(text: str) -> None:
    with pytest.raises(Forbidden, match="ollama cloud is disabled: remote model is unavailable"):
        names.parse(text)


@pytest.mark.parametrize("text", ["foo:cloud:local", "foo:local:cloud", "foo:1b-cloud:local"])
def test_both_suffixes_are_refused(text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        names.parse(text)
    assert caught.value.message == f'use either :local or :cloud, not both: "{text}"'
