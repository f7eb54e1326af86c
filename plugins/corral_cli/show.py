"""The sections of `corral show`, from what `/api/show` answers."""

from collections.abc import Mapping, Sequence

from corral import JSON, JSONObject
from corral_cli.formatting import count, general
from corral_cli.tables import section, width

_ARRAY_COLUMNS = 10
_TEXT_COLUMNS = 100


def sections(shown: JSONObject, *, verbose: bool = False) -> str:
    """Everything `show` prints without a selector flag."""
    parts = [section("Model", _model(shown))]
    if capabilities := shown.get("capabilities"):
        parts.append(section("Capabilities", [(capability,) for capability in capabilities]))
    if projector := shown.get("projector_info"):
        parts.append(section("Projector", _projector(projector)))
    if parameters := shown.get("parameters"):
        parts.append(section("Parameters", [line.split() for line in parameters.splitlines() if line.strip()]))
    if verbose:
        info = shown.get("model_info") or {}
        parts.append(section("Metadata", [(key, value_text(info[key])) for key in sorted(info)] or [("",)]))
        rows = [_tensor(tensor) for tensor in shown.get("tensors") or ()]
        parts.append(section("Tensors", rows or [("",)]))
    texts = [(title, shown.get(title.lower())) for title in ("System", "License")]
    parts += [section(title, [(line,) for line in head(text, 2)], wrap=_TEXT_COLUMNS) for title, text in texts if text]
    return "".join(parts)


def _model(shown: JSONObject) -> list[tuple[str, str]]:
    details, info = shown.get("details") or {}, shown.get("model_info") or {}
    architecture = info.get("general.architecture") or details.get("family") or ""
    parameters = details.get("parameter_size") or _counted(info, "general.parameter_count")
    rows = [
        ("Remote model", shown.get("remote_model") or ""),
        ("Remote URL", shown.get("remote_host") or ""),
        ("architecture", architecture),
        ("parameters", parameters),
        ("context length", _whole(info, f"{architecture}.context_length")),
        ("embedding length", _whole(info, f"{architecture}.embedding_length")),
        ("quantization", details.get("quantization_level") or ""),
        ("requires", shown.get("requires") or ""),
    ]
    return [(name, text) for name, text in rows if text]


def _projector(info: Mapping[str, JSON]) -> list[tuple[str, str]]:
    architecture = str(info.get("general.architecture") or "")
    rows = [
        ("architecture", architecture),
        ("parameters", _counted(info, "general.parameter_count")),
        ("embedding length", _whole(info, f"{architecture}.vision.embedding_length")),
        ("dimensions", _whole(info, f"{architecture}.vision.projection_dim")),
    ]
    return [(name, text) for name, text in rows if text]


def _tensor(tensor: Mapping[str, JSON]) -> tuple[str, ...]:
    shape = " ".join(map(str, tensor["shape"]))
    return tensor["name"], tensor["type"], f"[{shape}]"


def _counted(info: Mapping[str, JSON], key: str) -> str:
    value = info.get(key)
    return count(int(value)) if isinstance(value, int | float) else ""


def _whole(info: Mapping[str, JSON], key: str) -> str:
    value = info.get(key)
    return str(int(value)) if isinstance(value, int | float) else ""


def value_text(value: JSON, *, limit: int = _ARRAY_COLUMNS) -> str:
    """A metadata value; arrays as `[a b ...+N more]` within about `limit` columns (0: all of it)."""
    if isinstance(value, list):
        return _array([value_text(item, limit=0) for item in value], limit)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return general(value)
    return "<nil>" if value is None else str(value)


def _array(items: Sequence[str], limit: int) -> str:
    shown, columns = 0, 1
    for item in items:
        columns += width(item) + (2 if shown else 0)
        if limit and shown and columns > limit:
            break
        shown += 1
    rest = f" ...+{len(items) - shown} more" if shown < len(items) else ""
    return f"[{' '.join(items[:shown])}{rest}]"


def head(text: str, n_lines: int) -> list[str]:
    """The first non-blank lines, and `...` when there are more."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return [*lines[:n_lines], "..."] if len(lines) > n_lines else lines
