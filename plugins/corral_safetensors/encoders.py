"""The files sentence-transformers puts beside an encoder: how states are pooled, how long a text may be."""

from typing import Any

from corral import JSONObject, Unsupported
from corral_safetensors.documents import Documents, Fields

_POOLINGS = {"mean": 1, "cls": 2, "lasttoken": 3}
_FLAGS = {"pooling_mode_mean_tokens": 1, "pooling_mode_cls_token": 2, "pooling_mode_lasttoken": 3}
_HARMLESS = ("Transformer", "Pooling", "Normalize")
_MEAN = 1


def pooling_keys(documents: Documents, *, is_encoder: bool) -> dict[str, Any]:
    """`pooling_type`; encoders that say nothing are pooled by their mean.

    Raises Unsupported for modules after the pooling that would be left out, and for poolings no runtime has.
    """
    pooling = None
    for number, module in enumerate(_modules(documents)):
        kind = module.text("type").rpartition(".")[2]
        if kind not in _HARMLESS:
            raise Unsupported(f"modules.json: module {number} is a {kind!r:.40}, which cannot be converted")
        if kind == "Pooling":
            pooling = _pooling(documents.object(f"{module.text('path')}/config.json"))
    if pooling is None and is_encoder:
        pooling = _MEAN
    return {} if pooling is None else {"pooling_type": pooling}


def _modules(documents: Documents) -> list[Fields]:
    if not documents.has("modules.json"):
        return []
    return Fields("modules.json", {"modules": documents.json("modules.json")}).children("modules")


def _pooling(source: Fields) -> int:
    chosen = [number for flag, number in _FLAGS.items() if source.flag(flag)]
    others = [key for key in source.values if key.startswith("pooling_mode_") and source.values[key] is True]
    if not others and source.text("pooling_mode") in _POOLINGS:
        return _POOLINGS[source.text("pooling_mode")]
    if len(chosen) != 1 or len(others) != 1:
        raise Unsupported(f"{source.file}: pooling by {', '.join(others) or 'nothing'} cannot be converted")
    return chosen[0]


def length_parameter(documents: Documents, positions: int) -> JSONObject:
    """`num_ctx` where the model was published for shorter texts than it has positions."""
    source = documents.object("sentence_bert_config.json")
    length = source.integer("max_seq_length", default=positions, low=1)
    return {"num_ctx": length} if length < positions else {}
