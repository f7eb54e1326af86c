"""The fields that have a grammar of their own: options, stop, keep_alive, reasoning effort, output format."""

import math

import msgspec

from corral import JSON, Constraint, JSONObject, Think
from corral_generation.options import MAX_ENTRIES
from corral_http.durations import parse_duration
from corral_openai_api.bodies import CommonBody, CompletionCommonBody, FormatBody, ReasoningBody
from corral_openai_api.errors import FieldError

MAX_ITEMS = 10_000  # messages of a chat, prompts of a completion, inputs of an embedding
_THINK: dict[str, Think | None] = {
    "": None,
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "max",
    "ultra": "max",
    "max": "max",
}
_EFFORTS = '"minimal", "low", "medium", "high", "xhigh", "ultra", "max", or "none"'
_BIAS = 100.0
_SYNTAXES = ("lark", "regex", "gbnf")


def bounded(items: list[JSON] | tuple[object, ...], param: str) -> None:
    """Raises FieldError for more than MAX_ITEMS."""
    if len(items) > MAX_ITEMS:
        raise FieldError(f"{param} has {len(items)} items; at most {MAX_ITEMS} are served", param, "array_too_long")


def within(value: int, most: int, param: str) -> int:
    """`value` as it is.  Raises FieldError below 1 and above `most`: what multiplies work is bounded."""
    if not 1 <= value <= most:
        raise FieldError(f"{param} must be between 1 and {most}", param)
    return value


def common_options(body: CommonBody, *, top_p: float | None = 1.0) -> JSONObject:
    """Options by name: the dialect's defaults, then `options`, then the fields of the body."""
    own = {
        "temperature": body.temperature,
        "top_p": body.top_p,
        "num_ctx": body.num_ctx,
        "top_k": body.top_k,
        "min_p": body.min_p,
        "repeat_penalty": body.repeat_penalty,
    }
    return {"temperature": 1.0, "top_p": top_p} | body.options | _given(own)


def limit(tokens: int | None, param: str) -> JSONObject:
    """`num_predict` of a limit on the answer; negative means none.  Raises FieldError for 0, which asks for nothing."""
    if tokens == 0:
        raise FieldError(f"{param} must be at least 1", param, "integer_below_min_value")
    return {} if tokens is None else {"num_predict": tokens}


def completion_options(body: CompletionCommonBody, stop: tuple[str, ...]) -> JSONObject:
    """`common_options` and what chat completions and completions add."""
    own = {
        "num_predict": body.max_tokens,
        "frequency_penalty": body.frequency_penalty,
        "presence_penalty": body.presence_penalty,
        "seed": body.seed,
        "stop": stop or None,
        "logit_bias": logit_bias(body.logit_bias) or None,
    }
    return common_options(body) | _given(own)


def _given(options: JSONObject) -> JSONObject:
    return {name: value for name, value in options.items() if value is not None}


def logit_bias(biases: dict[str, float]) -> dict[str, float]:
    """Token id, or text → what is added to the logit of the token, or of each of the text's; -100 bans.

    Raises FieldError.
    """
    if len(biases) > MAX_ENTRIES:
        text = f"logit_bias has {len(biases)} entries; it takes at most {MAX_ENTRIES}"
        raise FieldError(text, "logit_bias", "object_above_max_properties")
    for token, bias in biases.items():
        if not -_BIAS <= bias <= _BIAS:
            raise FieldError("logit_bias values must be between -100 and 100", f"logit_bias.{token[:40]}")
    return {token: -math.inf if bias == -_BIAS else bias for token, bias in biases.items()}


def stop(value: JSON) -> tuple[str, ...]:
    """One stop string or a list of them; what in it is no string is dropped.  Raises FieldError."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list | None):
        raise FieldError("stop must be a string or a list of strings", "stop", "invalid_type")
    return tuple(item for item in value or () if isinstance(item, str))


def keep_alive(value: str | float | None) -> float | None:
    """Seconds to stay loaded after the request: None "as before", inf "for ever", 0 "not at all"."""
    if value is None:
        return None
    try:
        seconds = parse_duration(value) if isinstance(value, str) else value
    except ValueError as err:
        raise FieldError(str(err), "keep_alive") from err
    return math.inf if seconds < 0 else float(seconds)


def think(effort: str, reasoning: ReasoningBody | None, variables: JSONObject | None = None) -> Think | None:
    """False, True or a level; None leaves it to the model.

    The object wins over the field, even when it is empty, and both over `variables`: `chat_template_kwargs`, of which
    templates here see those that are about thinking.  Raises FieldError for any other.
    """
    told = _told(variables or {})
    if reasoning is None and not effort:
        return told
    effort, param = (effort, "reasoning_effort") if reasoning is None else (reasoning.effort, "reasoning.effort")
    return _level(effort, param)


def _level(effort: str, param: str) -> Think | None:
    if effort not in _THINK:
        raise FieldError(f'invalid reasoning value: "{effort[:40]}" (must be {_EFFORTS})', param)
    return _THINK[effort]


def _told(variables: JSONObject) -> Think | None:
    level: Think | None = None
    switch: Think | None = None
    for name, value in variables.items():
        if value is None:
            continue
        param = f"chat_template_kwargs.{name[:40]}"
        if name in ("enable_thinking", "thinking") and isinstance(value, bool):
            switch = value
        elif name == "reasoning_effort" and isinstance(value, str):
            level = _level(value, param)
        elif name in ("enable_thinking", "thinking", "reasoning_effort"):
            raise FieldError(f"{param} must be a {'string' if name == 'reasoning_effort' else 'boolean'}", param)
        else:
            known = "enable_thinking, thinking and reasoning_effort"
            raise FieldError(f"{param} is not passed to templates; only {known} are", param)
    return level if switch is not False and level is not None else switch


def thinking_tokens(body: CommonBody) -> int:
    """How many tokens of thinking there may be; negative means no limit."""
    return -1 if body.thinking_budget is None else body.thinking_budget


def constraint(format: FormatBody, param: str) -> Constraint | None:
    """What the answer must match; nothing for text.  Raises FieldError for a type that is not known.

    {"type": "grammar", "syntax": "lark" | "regex" | "gbnf", "definition": …} and {"type": "choice", "choices": […]} are
    extensions.
    """
    kind = format.type.strip().lower()
    if kind in ("", "text"):
        return None
    if kind == "json_object":
        return Constraint(kind="json")
    if kind == "json_schema":
        schema = format.schema if format.json_schema.schema is None else format.json_schema.schema
        source = msgspec.json.encode(schema).decode()
        return None if schema is None else Constraint(kind="json_schema", source=source)
    if kind == "grammar" and format.syntax in _SYNTAXES:
        if not format.definition:  # an empty regular expression would match nothing but an empty answer
            raise FieldError(f"{param}.definition is required", f"{param}.definition")
        return Constraint(kind=format.syntax, source=format.definition)
    if kind == "choice" and format.choices:
        return Constraint(kind="choice", source=msgspec.json.encode(format.choices).decode())
    if kind == "choice":
        raise FieldError(f"{param}.choices must be a list of texts, one at least", f"{param}.choices")
    if kind == "grammar":
        raise FieldError(f"{param}.syntax must be one of {', '.join(_SYNTAXES)}", f"{param}.syntax")
    raise FieldError(f"{param}.type must be text, json_object, json_schema, grammar or choice", f"{param}.type")
