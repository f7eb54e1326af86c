"""What a checkpoint says about how it is to be talked to: its chat template and its sampling parameters."""

from typing import Any

from corral import JSONObject
from corral_safetensors.documents import Documents, Fields
from corral_safetensors.vocabulary import CONFIG_FILE

_KEY = "tokenizer.chat_template"
_PARAMETERS = {
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "typical_p": "typical_p",
    "repetition_penalty": "repeat_penalty",
}
_INTEGERS = ("top_k",)


def template_keys(documents: Documents) -> dict[str, Any]:
    """The chat template, and others by name, from whichever file has them.  Raises FormatError."""
    settings = documents.object(CONFIG_FILE)
    named = _templates(settings)
    if not named and documents.has("chat_template.jinja"):
        named = {"default": documents.text("chat_template.jinja")}
    if not named:
        named = _templates(documents.object("chat_template.json"))
    default = named.pop("default", "")
    keys: dict[str, Any] = {_KEY: default} if default else {}
    if named:
        keys[f"{_KEY}s"] = list(named)
        keys |= {f"{_KEY}.{name}": text for name, text in named.items()}
    return keys


def _templates(source: Fields) -> dict[str, str]:
    value = source.values.get("chat_template")
    if isinstance(value, list):
        return {entry.text("name"): entry.text("template") for entry in source.children("chat_template")}
    text = source.text("chat_template")
    return {"default": text} if text else {}


def parameters(documents: Documents) -> JSONObject:
    """generation_config.json as parameters of the model.  Greedy configurations say nothing about sampling."""
    source = documents.object("generation_config.json")
    if source.values.get("do_sample") is False:
        return {}
    found: JSONObject = {}
    for theirs, ours in _PARAMETERS.items():
        if source.has(theirs):
            found[ours] = source.integer(theirs) if theirs in _INTEGERS else source.number(theirs)
    return found
