"""How model families write a tool call inside its section: one reader a notation, None for what it cannot read."""

import ast
import json
import re
import warnings
from collections.abc import Mapping, Sequence

from corral import JSON, JSONObject, Tool
from corral_templates.output.coercion import coerce, json_or_text, property_of
from corral_templates.output.objects import decode, decode_object, loads, sayable
from corral_templates.output.sections import Call

Tools = Mapping[str, Tool]

_FUNCTION = re.compile(r"<function=([^>\n]+)>(.*?)(?:</function>|\Z)", re.S)
_PARAMETER = re.compile(r"<parameter=([^>\n]+)>(.*?)(?:</parameter>|(?=<parameter=)|\Z)", re.S)
_ACTION_KEYS = frozenset(("tool_name", "name", "parameters", "arguments", "tool_call_id", "id", "type"))
_PREFIX = r"(?:\w+:|｜DSML｜)?"  # families put a namespace before the same tags
_INVOKE = re.compile(rf'<{_PREFIX}invoke name="([^"\n]+)">(.*?)(?:</{_PREFIX}invoke>|\Z)', re.S)
_NAMED_PARAMETER = re.compile(rf'<{_PREFIX}parameter name="([^"\n]+)"[^>]*>(.*?)</{_PREFIX}parameter>', re.S)
_ARGUMENT = re.compile(r"<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>", re.S)
_DEEPSEEK_CALL = re.compile(r"<｜tool▁call▁begin｜>(.*?)<｜tool▁sep｜>(.*?)(?:<｜tool▁call▁end｜>|\Z)", re.S)
_FENCED = re.compile(r"\s*(.*?)\s*```(?:json)?\s*(.*?)\s*(?:```)?\s*", re.S)


_SYNTAX = re.compile(rf"</?(?:tool_call|function|parameter|{_PREFIX}(?:invoke|parameter|function_calls|tool_calls))>")


def beside(text: str) -> str:
    """What of `text`, which no reader used, is more than blanks and tags."""
    return text.strip() if _SYNTAX.sub("", text).strip() else ""


def function_tags(body: str, tools: Tools) -> Sequence[Call] | None:
    """`<function=N><parameter=K>⏎V⏎</parameter></function>`; values are what the schema says (Qwen3-Coder).

    The first `<function=` may have been taken as the section's start tag.
    """
    body = body if "<function=" in body else "<function=" + body
    return _tagged(body, tools, _FUNCTION, _PARAMETER)


def invoke_tags(body: str, tools: Tools) -> Sequence[Call] | None:
    """`<invoke name="N"><parameter name="K">V</parameter></invoke>` (MiniMax and others)."""
    return _tagged(body, tools, _INVOKE, _NAMED_PARAMETER)


def _tagged(body: str, tools: Tools, function: re.Pattern[str], parameter: re.Pattern[str]) -> Sequence[Call] | None:
    calls, end = [], 0
    for match in function.finditer(body):
        name = match[1].strip()
        pairs = [(found[1].strip(), found[2]) for found in parameter.finditer(match[2])]
        arguments = {key: coerce(_without_newlines(text), property_of(tools, name, key)) for key, text in pairs}
        if len(arguments) < len(pairs):
            return None  # a parameter twice: which one is meant cannot be known
        unused = body[end : match.start()] + parameter.sub("", match[2])
        calls.append(Call(name, arguments, beside(unused)))
        end = match.end()
    return [*calls[:-1], calls[-1]._replace(beside=calls[-1].beside + beside(body[end:]))] if calls else None


def _without_newlines(text: str) -> str:
    """The value without the one newline before and after it."""
    return text.removeprefix("\n").removesuffix("\n")


def argument_pairs(body: str, tools: Tools) -> Sequence[Call] | None:
    """`NAME<arg_key>k</arg_key><arg_value>v</arg_value>` (GLM, Laguna)."""
    name, tag, rest = body.partition("<arg_key>")
    name = name.strip()
    pairs = [(match[1].strip(), match[2]) for match in _ARGUMENT.finditer(body)]
    arguments = {key: json_or_text(text, property_of(tools, name, key)) for key, text in pairs}
    if len(arguments) < len(pairs):
        return None
    return [Call(name, arguments, beside(_ARGUMENT.sub("", tag + rest)))]


def deepseek(body: str, _: Tools) -> Sequence[Call] | None:
    """`<｜tool▁call▁begin｜>NAME<｜tool▁sep｜>{json}`, or `function<｜tool▁sep｜>NAME⏎` and a fenced object."""
    calls, end = [], 0
    for match in _DEEPSEEK_CALL.finditer(body):
        name, text = match[1].strip(), match[2].strip()
        fenced = _FENCED.fullmatch(text)
        if fenced and "```" in text:
            if fenced[1] and name not in ("function", ""):
                return None
            name, text = fenced[1] or name, fenced[2]
        arguments = decode_object(text)
        if arguments is None:
            return None
        calls.append(Call(name, arguments, beside(body[end : match.start()])))
        end = match.end()
    return [*calls[:-1], calls[-1]._replace(beside=calls[-1].beside + beside(body[end:]))] if calls else None


def json_actions(body: str, _: Tools) -> Sequence[Call] | None:
    """`[{"tool_name": N, "parameters": {…}}]` (Cohere), with `name` and `arguments` too."""
    value = decode(body)
    calls = []
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, dict):
            return None
        name, arguments = item.get("tool_name", item.get("name")), item.get("parameters", item.get("arguments", {}))
        if not isinstance(name, str) or not isinstance(arguments, dict):
            return None
        others = {key: item[key] for key in item if key not in _ACTION_KEYS}
        calls.append(Call(name, arguments, json.dumps(others, ensure_ascii=False) if others else ""))
    return calls


# --- calls that look like Python -----------------------------------------------------------------------------------

_CONSTANTS = {"true": True, "false": False, "null": None, "none": None}
_MAX_PYTHON_CHARS = 200_000


def python_calls(body: str, tools: Tools) -> Sequence[Call] | None:
    """`f(a="x", b=1)`, several in a list or one a line (OLMo, LFM).  Only constants are read; nothing is run."""
    text = body.strip()
    if not text or len(text) > _MAX_PYTHON_CHARS:
        return None
    for source in (text, "\n".join(map(str.strip, text.splitlines()))):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of escapes that Python does not know and JSON does
                statements = ast.parse(source).body
            items = [item for statement in statements for item in _items(statement)]
            return [_python_call(item, source, tools) for item in items]
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return None


def _items(statement: ast.stmt) -> Sequence[ast.expr]:
    """The calls that a line is, or lists."""
    if not isinstance(statement, ast.Expr):
        raise ValueError("not a call")
    value = statement.value
    return value.elts if isinstance(value, ast.List | ast.Tuple) else [value]


def _python_call(node: ast.expr, source: str, tools: Tools) -> Call:
    if not isinstance(node, ast.Call):
        raise ValueError("not a call")
    name = ast.unparse(node.func)
    tool = tools.get(name)
    properties = tool.parameters.get("properties") if tool else None
    values = [_json_or_python(argument, source) for argument in node.args]
    arguments = dict(zip(properties or (), values, strict=False))
    if len(arguments) < len(node.args):
        raise ValueError("more arguments than the tool has")
    for keyword in node.keywords:
        if keyword.arg is None:
            raise ValueError("** is no argument")
        arguments[keyword.arg] = _json_or_python(keyword.value, source)
    return Call(name, sayable(arguments))


def _json_or_python(node: ast.expr, source: str) -> JSON:
    """Where text means something in both, JSON counts: its escapes are those that models were taught."""
    text = ast.get_source_segment(source, node) if isinstance(node, ast.Constant | ast.List | ast.Dict) else None
    try:
        return loads(text or "")
    except ValueError:
        return _python_value(node)


def _python_value(node: ast.expr) -> JSON:
    if isinstance(node, ast.Name) and node.id.lower() in _CONSTANTS:
        return _CONSTANTS[node.id.lower()]
    if isinstance(node, ast.List | ast.Tuple):
        return [_python_value(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        keys = [_python_value(key) if key else None for key in node.keys]
        return {str(key): _python_value(item) for key, item in zip(keys, node.values, strict=True)}
    value = ast.literal_eval(node)
    if not isinstance(value, str | int | float | bool | None):
        raise ValueError("no JSON value")
    return value


# --- `call:NAME{key:value}` ----------------------------------------------------------------------------------------


class BareObjects:
    """Objects with bare keys, by recursive descent."""

    _MAX_DEPTH = 50

    def __init__(self, quote: str) -> None:
        self.quote = quote
        self._bare = re.compile(r"[^,{}\[\]:]+")

    def __call__(self, body: str, _: Tools) -> Sequence[Call] | None:
        calls: list[Call] = []
        text = body.strip()
        while text:
            head, brace, _rest = text.partition("{")
            if not brace or not head.startswith("call:"):
                return None
            try:
                value, end = self._value(text, len(head), 0)
            except (ValueError, IndexError):
                return None
            calls.append(Call(head[5:].strip(), value))
            text = text[end:].strip()
        return calls

    def _value(self, text: str, at: int, depth: int) -> tuple[JSON, int]:
        if depth > self._MAX_DEPTH:
            raise ValueError("nested too deeply")
        if text.startswith(self.quote, at):
            begin = at + len(self.quote)
            end = text.index(self.quote, begin)
            return text[begin:end], end + len(self.quote)
        if text[at] == "{":
            return self._object(text, at + 1, depth)
        if text[at] == "[":
            return self._list(text, at + 1, depth)
        match = self._bare.match(text, at)
        if match is None:
            raise ValueError(f"no value at {at}")
        return json_or_text(match[0].strip(), {}), match.end()

    def _object(self, text: str, at: int, depth: int) -> tuple[JSONObject, int]:
        result: JSONObject = {}
        while text[at] != "}":
            if text.startswith(self.quote, at):
                key, colon = self._value(text, at, depth + 1)
            else:
                colon = text.index(":", at)
                key = text[at:colon].strip()
            if text[colon] != ":":
                raise ValueError(f"no colon at {colon}")
            result[key], at = self._value(text, colon + 1, depth + 1)
            at += text[at] == ","
        return result, at + 1

    def _list(self, text: str, at: int, depth: int) -> tuple[list[JSON], int]:
        result: list[JSON] = []
        while text[at] != "]":
            value, at = self._value(text, at, depth + 1)
            result.append(value)
            at += text[at] == ","
        return result, at + 1
