"""Which tokens begin and end a text, and which end an answer."""

from typing import Any

from corral_safetensors.documents import Documents, Fields
from corral_safetensors.vocabulary import CONFIG_FILE, JSON_FILE, Vocabulary

_ROLES = {
    "bos": "bos",
    "eos": "eos",
    "unk": "unknown",
    "sep": "seperator",
    "pad": "padding",
    "cls": "cls",
    "mask": "mask",
    "eot": "eot",
}  # fmt: skip  (the format's own spelling of separator)
_PREFIX = "tokenizer.ggml."


class _Frame:
    """What the post-processor of a tokenizer.json puts around a text."""

    def __init__(self, source: Fields, texts: dict[str, str]) -> None:
        self.texts = texts
        self.adds: dict[str, bool] = {}
        processor = source.child("post_processor")
        for step in processor.children("processors") or [processor]:
            match step.text("type"):
                case "ByteLevel":
                    self.adds.setdefault("bos", False)
                    self.adds.setdefault("eos", False)
                case "RobertaProcessing" | "BertProcessing":
                    self.adds |= {"bos": True, "eos": True, "sep": True}
                    self._from_pairs(step)
                case "TemplateProcessing":
                    self._from_template(step)

    def _from_pairs(self, step: Fields) -> None:
        for role, other in (("cls", "bos"), ("sep", "eos")):
            pair = step.array(role)
            if pair and isinstance(pair[0], str):
                self.texts.setdefault(role, pair[0])
                self.texts.setdefault(other, pair[0])

    def _from_template(self, step: Fields) -> None:
        single = step.children("single")
        if len(single) < 2:
            return
        first, last = (part.child("SpecialToken").text("id") for part in (single[0], single[-1]))
        if first:
            if first not in (self.texts.get("bos"), self.texts.get("cls")):
                self.texts.setdefault("bos", first)
                self.texts.setdefault("cls", first)
            self.adds["bos"] = first in (self.texts.get("bos"), self.texts.get("cls"))
        if last:
            if last != self.texts.get("eos"):
                if "eos" in self.texts:
                    self.texts["eot"] = self.texts["eos"]
                self.texts["eos"] = last
            self.adds["eos"] = True
        separators = (self.texts.get("sep"), self.texts.get("eos"))
        between = [part.child("SpecialToken").text("id") for part in step.children("pair")[bool(first) :]]
        n_between = sum(text in separators for text in between if text) - bool(last)
        if step.has("pair"):
            self.adds["sep"] = n_between > 1 or (n_between == 1 and not last)


def special_keys(documents: Documents, config: Fields, vocabulary: Vocabulary) -> dict[str, Any]:
    """`…_token_id`, `add_…_token` and `eos_token_ids`.  Raises FormatError for values of a wrong type."""
    settings, index = documents.object(CONFIG_FILE), vocabulary.index()
    generation = documents.object("generation_config.json")
    texts = _texts(documents, settings)
    if vocabulary.model == "bert" or "bos" not in texts:
        texts.update(
            {role: texts[other] for role, other in (("bos", "cls"), ("eos", "sep")) if _fills(texts, role, other)}
        )
    frame = _Frame(documents.object(JSON_FILE), texts)
    keys: dict[str, Any] = {}
    for role, name in _ROLES.items():
        token_id = index.get(texts.get(role, ""), -1)
        for source in (config, generation):
            if token_id < 0 and role != "eot":
                token_id = _first_id(source, role, len(vocabulary.tokens))
        if token_id < 0:
            token_id = vocabulary.ids.get(role, -1)
        if token_id >= 0:
            keys[f"{_PREFIX}{name}_token_id"] = token_id
    for role in ("bos", "eos", "sep"):
        if role in frame.adds or isinstance(settings.values.get(f"add_{role}_token"), bool):
            keys[f"{_PREFIX}add_{role}_token"] = frame.adds.get(role, settings.flag(f"add_{role}_token"))
    ends = generation.values.get("eos_token_id", config.values.get("eos_token_id"))
    if isinstance(ends, list):
        keys[f"{_PREFIX}eos_token_ids"] = [
            end for end in ends if type(end) is int and 0 <= end < len(vocabulary.tokens)
        ]
    for role in ("bos", "eos"):
        if keys.get(f"{_PREFIX}add_{role}_token") and f"{_PREFIX}{_ROLES[role]}_token_id" not in keys:
            keys[f"{_PREFIX}add_{role}_token"] = False  # there is nothing that could be added
    return {key: value for key, value in keys.items() if value != []}


def _fills(texts: dict[str, str], role: str, other: str) -> bool:
    return role not in texts and other in texts


def _texts(documents: Documents, settings: Fields) -> dict[str, str]:
    """The special tokens' texts by role."""
    found: dict[str, str] = {}
    for source in (documents.object("special_tokens_map.json"), settings):
        for role in _ROLES:
            value = source.values.get(f"{role}_token")
            text = value.get("content") if isinstance(value, dict) else value
            if isinstance(text, str):
                found[role] = text
    return found


def _first_id(source: Fields, role: str, n_tokens: int) -> int:
    value = source.values.get(f"{role}_token_id")
    value = value[0] if isinstance(value, list) and value else value
    return value if type(value) is int and 0 <= value < n_tokens else -1
