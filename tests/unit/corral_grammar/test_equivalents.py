"""What is said in other words means what the schema said, and no more."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from byte_texts import accepts

from corral import BadRequest
from corral_grammar.state import GrammarState

NULL = {"type": "null"}
SELF = {"$ref": "#"}
WRONG = [
    *(
        ({"items": {"propertyNames": names, "type": "object"}}, "$.items.propertyNames cannot be enforced")
        for names in (
            {"pattern": 5},
            {"pattern": ["a"]},
            {"pattern": "^a", "type": "integer"},
            {"type": ["null", "integer"]},
            {"type": ["string", {}]},
            {"enum": 1, "const": "a"},
            {"enum": ["a"], "type": "integer"},
            1,
            0,
            False,
        )
    ),
    ({"allOf": 3, "propertyNames": {"enum": ["a"]}}, "$.allOf must be a list"),
    ({"items": {"type": "string", "format": "jwt"}}, "$.items.format 'jwt' is not one of"),
    ({"type": "integer", "format": "int8", "minimum": 200}, "at $: Unsatisfiable schema: minimum (200)"),
    (
        {"allOf": [{"properties": {"a": {}}, "minProperties": 3}, {"properties": {"b": {}}}]},
        "$.allOf[0].minProperties cannot be enforced beyond the 1 required, for further names may repeat",
    ),
    (
        {"properties": {"a": {"$ref": "#/$defs/used"}}, "$defs": {"used": {"minProperties": 3}}},
        "$.$defs.used.minProperties cannot be enforced",
    ),
    (
        {"properties": {"a": {"prefixItems": [{"anyOf": [{"minProperties": 3}]}]}}},
        "$.properties.a.prefixItems[0].anyOf[0].minProperties cannot be enforced",
    ),
    (
        {"allOf": [{"properties": {"a": {}}, "minProperties": 2, "additionalProperties": False}, {"title": "x"}]},
        "$.allOf[0].minProperties asks for more properties than there are",
    ),
    (
        {"allOf": [{"type": "object", "properties": {"a": SELF}, "minProperties": 1}, {"properties": {"b": SELF}}]},
        "$ requires itself",
    ),
    (
        {"type": "object", "properties": {"a": SELF, "b": {"anyOf": [{}], "title": ""}}, "minProperties": 2},
        "$ requires itself",
    ),
]


@pytest.mark.parametrize(("schema", "message"), WRONG)
def test_what_cannot_be_said_otherwise_is_refused_by_its_path(
    build: Callable[..., GrammarState], schema: Any, message: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        build("json_schema", json.dumps(schema))
    assert message in caught.value.message


MATCHES = [
    ({"type": "object", "propertyNames": {"enum": ["a", "b"], "const": "b"}}, ["{}", '{"b": 1}'], ['{"a": 1}']),
    ({"type": "object", "propertyNames": {"enum": ["a", 1], "const": "b"}}, ["{}"], ['{"a": 1}', '{"b": 1}']),
    ({"type": "object", "propertyNames": {"type": ["null", "string"]}}, ['{"a": 1}'], ["[]"]),
    (
        {"type": "object", "propertyNames": {"type": ["null", "string"], "pattern": "^a"}},
        ['{"a": 1}'],
        ['{"b": 1}'],
    ),
    (
        {
            "properties": {"a": {"$ref": "#/properties/x/items"}, "x": {"items": {"type": "null"}}},
            "propertyNames": {"enum": ["a", "b"]},
        },
        ["{}", '{"a": null}'],
        ['{"a": 1}', '{"x": []}', '{"b": null}'],
    ),
    *(
        (
            {
                "type": "object",
                "propertyNames": names,
                "additionalProperties": {
                    "properties": {"a": {"$ref": "#/additionalProperties"}, "n": {"type": "integer"}}
                },
            },
            ["{}", '{"a": {"a": {"n": 1}}, "ab": {}}'],
            ['{"b": {}}', '{"a": 1}', '{"a": {"b": 1}}', '{"a": {"n": 1234567890123456}}'],
        )
        for names in ({"enum": ["a", "ab"]}, {"pattern": "^a"})
    ),
    ({"type": "string", "enum": ["a", None], "nullable": True}, ['"a"', "null"], ['"b"']),
    ({"type": "string", "enum": ["a"], "nullable": True}, ['"a"'], ['"b"', "null"]),
    ({"type": "string", "format": "jwt", "pattern": "^eyJ"}, ['"eyJ"'], ['"While.com.com"']),
    (
        {"type": "integer", "format": "int32"},
        ["-2147483648", "0", "2147483647"],
        ["-2147483649", "2147483648", "112742180761509", "1.5"],
    ),
    ({"type": "integer", "format": "uint8"}, ["0", "255"], ["-1", "256"]),
    ({"type": "integer", "format": "int16", "minimum": 0, "maximum": 10**6}, ["0", "32767"], ["-1", "32768"]),
    ({"type": "integer", "format": "int8", "exclusiveMaximum": 3}, ["-128", "2"], ["-129", "3"]),
    ({"type": "integer", "format": "int8", "enum": [127, 128]}, ["127"], ["128"]),
    ({"type": ["integer", "null"], "format": "uint16"}, ["null", "65535"], ["-1", "65536"]),
    ({"type": "integer", "format": "uint32", "nullable": True}, ["null", "4294967295"], ["-1", "4294967296"]),
    ({"allOf": [{"type": "integer", "format": "int32"}, {"minimum": 7}]}, ["7", "2147483647"], ["6", "2147483648"]),
    ({"type": "integer", "format": "int64"}, ["-999999999999999", "999999999999999"], ["1000000000000000"]),
    (
        {"type": "integer", "format": "uint64", "minimum": 0, "maximum": 2**64 - 1},
        ["0", "9223372036854775807"],
        ["-1", "18446744073709551616"],
    ),
    *(
        (
            {
                "allOf": [{"properties": {"a": NULL}, "minProperties": 2}, other],
                "$defs": {"other": {"type": "object", "properties": {"b": NULL, "c": NULL}}},
            },
            ['{"a": null, "b": null}', '{"b": null, "c": null}', '{"a": null, "b": null, "c": null}'],
            ["{}", '{"a": null}', '{"c": null}', '{"a": 1, "b": null}'],
        )
        for other in ({"properties": {"b": NULL, "c": NULL}}, {"$ref": "#/$defs/other"})
    ),
    (
        {"allOf": [{"properties": {"a": NULL}, "minProperties": 1}, {"properties": {"b": NULL, "a": False}}]},
        ['{"b": null}'],
        ["{}", '{"a": null}'],
    ),
    (
        {"properties": {"a": NULL}, "$defs": {"unused": {"properties": {"b": {"minProperties": 3}}}}},
        ["{}", '{"a": null}'],
        ['{"b": null}'],
    ),
    ({"type": "string", "minProperties": 3}, ['"a"'], ["{}"]),
    (
        {"type": ["string", "object"], "properties": {"a": NULL, "b": NULL}, "minProperties": 2},
        ['"a"', '{"a": null, "b": null}'],
        ["{}", '{"a": null}', "null"],
    ),
]


@pytest.mark.parametrize(("schema", "good", "bad"), MATCHES)
def test_what_is_said_otherwise_means_the_same(
    build: Callable[..., GrammarState], texts: Any, schema: Any, good: list[str], bad: list[str]
) -> None:
    source = json.dumps(schema)
    assert [text for text in good if not accepts(build("json_schema", source), texts, text)] == []
    assert [text for text in bad if accepts(build("json_schema", source), texts, text)] == []
