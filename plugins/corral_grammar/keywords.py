"""JSON Schema's keywords: which are enforced, what their values must be, which only describe, and which cannot be."""

from collections.abc import Callable

from corral import JSON

TYPES = ("null", "boolean", "number", "integer", "string", "array", "object")
FORMATS = (
    "date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri",
)  # fmt: skip
FORMAT_LENGTHS = {"duration": 40, "hostname": 253, "email": 254}  # characters at most
_LEAP = "(\\d\\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29"
_DAY = f"(\\d{{4}}-(0[13-9]|1[0-2])-\\d\\d|\\d{{4}}-02-([01]\\d|2[0-8])|{_LEAP})"
_TIME = "\\d\\d:\\d\\d:[0-5]\\d(\\.\\d{1,6})?([zZ]|[+-]\\d\\d:\\d\\d)"
FORMAT_PATTERNS = {  # what the library's own leave open: leap years, and how many digits a second has
    "date": f"^{_DAY}$",
    "time": f"^{_TIME}$",
    "date-time": f"^{_DAY}[tT]{_TIME}$",
}
_PATH = "[A-Za-z0-9._~-]*(/[A-Za-z0-9._~-]*)*"
_QUERY = "(\\?[A-Za-z0-9._~=&-]*)?(#[A-Za-z0-9._~-]*)?"
_BYTE = "(\\d|[1-9]\\d|1\\d\\d|2[0-4]\\d|25[0-5])"
FURTHER_FORMATS = {  # which the library does not know; of references those without escapes, of networks /24 and /32
    "uri-reference": f"^(https?://[A-Za-z0-9-]+(\\.[A-Za-z0-9-]+)*(:[1-9]\\d{{0,3}})?)?{_PATH}{_QUERY}$",
    "json-pointer": "^(/([^~/]|~[01])*)*$",
    "base64": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
    "byte": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
    "base64url": "^([A-Za-z0-9_-]{4})*([A-Za-z0-9_-]{2}==|[A-Za-z0-9_-]{3}=)?$",
    "ipv4network": f"^({_BYTE}\\.){{3}}({_BYTE}/32|0/24)$",
    "ipv4interface": f"^({_BYTE}\\.){{3}}{_BYTE}/([12]?\\d|3[0-2])$",
    "nanoid": "^[A-Za-z0-9_-]{21}$",
    "cuid": "^c[0-9a-z]{8,}$",
    "cuid2": "^[a-z][0-9a-z]+$",
    "ulid": "^[0-7][0-9A-HJKMNP-TV-Z]{25}$",
}
LEAST_INTEGER = -(10**18)  # the library counts with 64 bits
INTEGER_FORMATS = {  # the least and the most
    **{f"int{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32)},
    **{f"uint{bits}": (0, 2**bits - 1) for bits in (8, 16, 32)},
    "int64": (LEAST_INTEGER, 2**63 - 1),
    "uint64": (0, 2**63 - 1),
}
DESCRIBING_FORMATS = frozenset(  # what a text is for: any text will do
    {
        "password", "binary", "path", "file-path", "directory-path", "textarea", "markdown", "html", "text",
        "multi-line", "float", "double", "decimal", *INTEGER_FORMATS,
    }
)  # fmt: skip
ONE_SCHEMA = ("items", "additionalItems", "additionalProperties")
SCHEMA_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
SCHEMA_MAPS = ("properties", "patternProperties", "$defs", "definitions")
APPLIED_IN_PLACE = ("allOf", "anyOf", "oneOf", "$ref")

ANNOTATIONS = frozenset(
    {
        "title", "description", "default", "examples", "example", "$comment", "readOnly", "writeOnly", "deprecated",
        "contentMediaType", "contentEncoding", "contentSchema", "$schema", "$anchor", "discriminator", "xml",
        "externalDocs", "propertyOrdering",
    }
)  # fmt: skip
UNENFORCED = frozenset(
    {
        "not", "if", "then", "else", "contains", "minContains", "maxContains", "uniqueItems", "dependentRequired",
        "dependentSchemas", "dependencies", "propertyNames", "unevaluatedProperties", "unevaluatedItems",
        "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "nullable",
    }
)  # fmt: skip
DEFAULTS = {"uniqueItems": False, "nullable": False, "unevaluatedProperties": True, "unevaluatedItems": True}
MAX_COUNT = 1_000_000  # what minLength, minItems and minProperties may ask for; a maximum above it bounds nothing


def _is_schema(value: JSON) -> bool:
    return isinstance(value, dict | bool)


def _is_count(value: JSON) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 and value == int(value)


def _is_number(value: JSON) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_type(value: JSON) -> bool:
    names = value if isinstance(value, list) else [value]
    return bool(names) and all(isinstance(name, str) and name in TYPES for name in names)


_COUNT = "a whole number that is not negative", _is_count
_NUMBER = "a number", _is_number
_LIST = (
    "a list of schemas that is not empty",
    lambda value: isinstance(value, list) and bool(value) and all(map(_is_schema, value)),
)
_MAP = (
    "an object whose values are schemas",
    lambda value: isinstance(value, dict) and all(map(_is_schema, value.values())),
)
_TEXT = "a string", lambda value: isinstance(value, str)
CHECKS: dict[str, tuple[str, Callable[[JSON], bool]]] = {
    "type": (f"one of {', '.join(TYPES)}, or a list of those", _is_type),
    "enum": ("a list that is not empty", lambda value: isinstance(value, list) and bool(value)),
    "const": ("any value", lambda _: True),
    "$ref": _TEXT,
    "pattern": _TEXT,
    "format": _TEXT,
    "required": (
        "a list of strings",
        lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
    ),
    "items": (
        "a schema, or a list of schemas",
        lambda value: _is_schema(value) or (isinstance(value, list) and all(map(_is_schema, value))),
    ),
    "additionalItems": ("a schema", _is_schema),
    "additionalProperties": ("a schema", _is_schema),
    "multipleOf": ("a number above 0", lambda value: _is_number(value) and value > 0),
    **dict.fromkeys(SCHEMA_LISTS, _LIST),
    **dict.fromkeys(SCHEMA_MAPS, _MAP),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _NUMBER),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), _COUNT),
}
