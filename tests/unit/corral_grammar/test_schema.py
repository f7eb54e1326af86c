"""Every keyword of a schema is enforced, describes only, or is refused by its path, and quickly."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from byte_texts import accepts

from corral import BadRequest
from corral_grammar.grammars import check_pattern
from corral_grammar.rows import MAX_FIRST
from corral_grammar.schema import MAX_DEPTH, SchemaReader
from corral_grammar.state import GrammarState


def read(schema: Any) -> Any:
    return SchemaReader(schema, check_pattern).read()


def nested(depth: int) -> str:
    return '{"items":' * depth + "{}" + "}" * depth


def kind(*names: str, **more: Any) -> Any:
    """An object that tells by `kind` what it is."""
    names_only = {"const": names[0]} if len(names) == 1 else {"enum": [*names]}
    return {"type": "object", "properties": {"kind": names_only, **more}, "required": ["kind"]}


def union(*branches: Any, **around: Any) -> Any:
    """One of several definitions, as a property."""
    definitions = {f"D{index}": branch for index, branch in enumerate(branches)}
    one_of = {"oneOf": [{"$ref": f"#/$defs/{name}"} for name in definitions], **around}
    return {"type": "object", "properties": {"v": one_of}, "required": ["v"], "$defs": definitions}


OBJECT = {"type": "object", "properties": {"first name": {"type": "string"}}}
MANY = {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(MAX_FIRST)}}
MORE = {"type": "object", "properties": {f"q{i}": {"type": "string"} for i in range(MAX_FIRST + 1)}}
SELF = {"type": "object", "properties": {"child": {"$ref": "#"}}}
CLOSED = {"additionalProperties": False}
WRONG = [
    ({"properties": {"a": {"items": MORE}}}, "$.properties.a.items.properties has 451 optional properties before"),
    (
        {"$defs": {"m": MANY}, "anyOf": [{"$ref": "#/$defs/m"}, {"type": "object", "properties": {"x": {}}}]},
        "$ has 451 optional properties before the first required one, alternatives included",
    ),
    ({"type": [1]}, "$.type"),
    ({"type": "strnig"}, "$.type"),
    ({"type": []}, "$.type"),
    ({"properties": {"a": {"pattern": "*"}}}, "$.properties.a.pattern: repetition operator missing expression"),
    ({"items": {"pattern": "(?=a)b"}}, "$.items.pattern: look-around"),
    ({"pattern": "(a)\\1"}, "$.pattern: backreferences are not supported"),
    ({"patternProperties": {"[": True}}, '$.patternProperties["["]: unclosed character class'),
    ({"$ref": "#"}, "$.$ref refers to itself"),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}, "refers to itself"),
    ({"$ref": "https://example.org/s.json"}, "$.$ref 'https://example.org/s.json' is outside this schema"),
    ({"$ref": "other.json#/a"}, "nothing is fetched"),
    ({"$ref": "#/$defs/x"}, "$.$ref '#/$defs/x' leads nowhere"),
    ({"$ref": "#/title", "title": "t"}, "leads to no schema"),
    ({"$ref": "#name"}, "must be a JSON pointer"),
    ({"anyOf": [{"type": "null"}, {"not": {}}]}, "$.anyOf[1].not cannot be enforced"),
    ({"properties": {"first name": {"uniqueItems": True}}}, '$.properties["first name"].uniqueItems cannot be'),
    ({"if": {}, "then": {}}, "$.if cannot be enforced"),
    ({"contains": {}}, "$.contains cannot be enforced"),
    ({"propertyNames": {"minLength": 2}}, "$.propertyNames cannot be enforced"),
    ({"propertyNames": {"pattern": "["}}, '$.patternProperties["["]: unclosed character class'),
    ({"propertyNames": {"$ref": "#/$defs/x"}}, "'#/$defs/x' leads nowhere"),
    ({"anyOf": [{"type": "string"}], "nullable": True}, "$.nullable cannot be enforced"),
    ({"dependentRequired": {}}, "$.dependentRequired cannot be enforced"),
    ({"unevaluatedProperties": False}, "$.unevaluatedProperties cannot be enforced"),
    ({"minProperties": 2}, "$.minProperties cannot be enforced beyond the 1 required"),
    (
        {"properties": {"a": {"properties": {f"p{i}": {} for i in range(60)}, "minProperties": 30}}},
        "$.properties.a.minProperties cannot be enforced: there are too many ways to choose 30 of 60",
    ),
    ({"properties": {"a": {}}, "minProperties": 2}, "$.minProperties asks for more properties than there are"),
    ({"minimun": 3}, "unknown JSON schema keyword: $.minimun"),
    ({"properties": {"a": {"$id": "x"}}}, "$.properties.a.$id"),
    ({"type": "string", "format": "iban"}, "$.format 'iban' is not one of date-time"),
    ({"minimum": "3"}, "$.minimum must be a number"),
    ({"exclusiveMinimum": True}, "$.exclusiveMinimum must be a number"),
    ({"maxLength": -1}, "$.maxLength must be a whole number"),
    ({"minItems": 2_000_000_000}, "$.minItems is above"),
    ({"anyOf": []}, "$.anyOf must be a list of schemas that is not empty"),
    ({"properties": []}, "$.properties must be an object"),
    ({"properties": {"a": 3}}, "$.properties must be an object whose values are schemas"),
    ({"required": "a"}, "$.required must be a list of strings"),
    ({"enum": [f"value {i}" for i in range(10_000)]}, "$.enum has 10000 members, at most 5000"),
    ({"properties": {f"p{i}": {} for i in range(5000)}}, "$.properties has 5000 members"),
    ({"anyOf": [{"properties": {f"p{i}": {} for i in range(600)}} for _ in range(20)]}, "more than 10000 schemas"),
    ({"anyOf": [{"pattern": f"a{i}"} for i in range(300)]}, "more than 200 patterns"),
    (json.loads(nested(MAX_DEPTH + 5)), f".items is nested more than {MAX_DEPTH} levels deep"),
    ({"const": json.loads("[" * 200 + "]" * 200)}, "$.const is nested more than"),
    ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "$ requires itself"),
    ({"type": "array", "items": {"anyOf": [{"$ref": "#"}]}, "minItems": 1}, "$ requires itself"),
    ({**SELF, "minProperties": 1, **CLOSED}, "$ requires itself"),
    ({"properties": {**SELF["properties"], "b": {"$ref": "#"}, "c": {}}, "minProperties": 2}, "$ requires itself"),
    ({"type": "object", "additionalProperties": {"$ref": "#"}, "minProperties": 1}, "$ requires itself"),
    (
        {"type": "object", "patternProperties": {"^a": {"$ref": "#"}, "^b": False}, "required": ["a"], **CLOSED},
        "itself",
    ),
    (False, "$ is false"),
    (3, "$ must be an object or a boolean"),
]


@pytest.mark.parametrize(("schema", "message"), WRONG, ids=[message[:40] for _, message in WRONG])
def test_what_cannot_be_enforced_is_refused_by_its_path(
    build: Callable[..., GrammarState], schema: Any, message: str
) -> None:
    began = time.process_time()
    with pytest.raises(BadRequest) as caught:
        build("json_schema", json.dumps(schema))
    assert message in caught.value.message
    assert time.process_time() - began < 1


@pytest.mark.parametrize("source", [nested(10_000), "[" * 10_000, "{", "", '{"type": NaN}'])
def test_what_is_no_json_is_refused(build: Callable[..., GrammarState], source: str) -> None:
    with pytest.raises(BadRequest, match="invalid JSON schema"):
        build("json_schema", source)


LIBRARY = [
    ({"properties": {"a": {}}, "required": ["b"]}, "at $: Unsatisfiable schema: required property 'b'"),
    ({"properties": {"a": {"type": "integer", "minimum": 5, "maximum": 3}}, "required": ["a"]}, "at $.properties.a:"),
    ({"properties": {"a": {"oneOf": [{"minimum": 0}, {"maximum": 9}]}}}, "keyword: $.properties.a.oneOf cannot be"),
    (union({"type": "string"}, {"maxLength": 3}), "keyword: $.properties.v.oneOf cannot be enforced"),
    (union(kind("a"), kind("a")), "keyword: $.properties.v.oneOf cannot be enforced"),
    (union(kind("a"), {**kind("b"), "required": []}), "keyword: $.properties.v.oneOf cannot be enforced"),
    (union(kind("a"), {"anyOf": [kind("b"), {"type": "object"}]}), "keyword: $.properties.v.oneOf cannot be enforced"),
    ({"$ref": "#/properties/v/oneOf/1", **union(kind("a"), kind("b"))}, "keyword: $.properties.v.oneOf cannot be"),
    (
        {
            "$ref": "#/$defs/a",
            "$defs": {"a": {"properties": {"b": {"type": "integer", "minimum": 5, "maximum": 3}}, "required": ["b"]}},
        },
        "at $.$defs.a.properties.b: ",
    ),
]


@pytest.mark.parametrize(("schema", "message"), LIBRARY)
def test_what_the_library_refuses_is_found_again(build: Callable[..., GrammarState], schema: Any, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        build("json_schema", json.dumps(schema))
    assert message in caught.value.message


def test_what_describes_only_is_left_out() -> None:
    schema = {
        "$schema": "x",
        "$id": "y",
        "title": "t",
        "type": "string",
        "x-order": 3,
        "default": "d",
        "nullable": False,
    }
    assert read(schema) == {"type": "string"}
    assert read({"properties": {"title": {"title": "Title", "type": "string"}}})["properties"] == {
        "title": {"type": "string"}
    }


def test_objects_have_no_other_properties_unless_the_schema_says_so() -> None:
    assert read(OBJECT)["additionalProperties"] is False
    assert read({**OBJECT, "additionalProperties": True})["additionalProperties"] is True
    assert "additionalProperties" not in read({"type": "object"})
    laid_over = {"allOf": [OBJECT, {"type": "object", "properties": {"age": {"type": "integer"}}}]}
    assert all("additionalProperties" not in part for part in read(laid_over)["allOf"])


def test_names_have_an_end() -> None:
    assert read({"type": "string", "format": "hostname"})["maxLength"] == 253
    assert read({"format": "email", "maxLength": 20})["maxLength"] == 20
    assert "maxLength" not in read({"type": "string", "format": "uri"})


def test_a_formats_name_does_not_matter_to_numbers() -> None:
    assert read({"type": "integer", "format": "int64"})["type"] == "integer"


MATCHES = [
    ({"type": "string", "minLength": 2, "maxLength": 3}, ['"ab"', '"abc"', '"é\\n"'], ['"a"', '"abcd"', "ab", '"ab" ']),
    ({"type": "string", "pattern": "^a+$"}, ['"aa"'], ['""', '"ab"']),
    ({"type": "string", "pattern": "b"}, ['"abc"'], ['"ac"']),
    (
        {"type": "string", "format": "date"},
        ['"2024-02-29"', '"2000-02-29"', '"1999-12-31"'],
        ['"2024-13-01"', '"2023-02-29"', '"1900-02-29"', '"2024-04-31"', '"today"'],
    ),
    (
        {"format": "time", "pattern": "Z$", "type": "string"},
        ['"11:59:59.123456Z"'],
        ['"11:59:59.1234567Z"', '"11:59:59+01:00"'],
    ),
    ({"format": "date-time", "type": "string"}, ['"2024-02-29T11:59:59+01:00"'], ['"2023-02-29T11:59:59Z"']),
    ({"type": "integer", "minimum": -3, "exclusiveMaximum": 12}, ["-3", "0", "11"], ["-4", "12", "1.5", "01"]),
    ({"type": "integer"}, ["0", "-12", "999999999999999"], ["1e5", "1000000000000000", "1.0"]),
    ({"type": "number", "multipleOf": 0.5}, ["1.5", "2"], ["1.3"]),
    ({"enum": ["a", 1, None, {"b": [True]}]}, ['"a"', "1", "null", '{"b": [true]}'], ['"b"', "2", "{}"]),
    ({"const": "x"}, ['"x"'], ['"y"']),
    ({"type": ["integer", "null"]}, ["1", "null"], ['"1"']),
    ({"type": "array", "items": {"type": "null"}, "minItems": 1, "maxItems": 2}, ["[null]", "[null, null]"], ["[]"]),
    ({"prefixItems": [{"type": "null"}], "items": False, "type": "array"}, ["[null]"], ["[null,null]"]),
    (OBJECT, ["{}", '{"first name": "x"}', '{\n  "first name":"x"}'], ['{"other": 1}', '{"first name": 1}', "[]"]),
    ({**OBJECT, "required": ["first name"]}, ['{"first name": ""}'], ["{}"]),
    (
        {"type": "object", "patternProperties": {"^x": {"type": "null"}}, "additionalProperties": False},
        ["{}", '{"x1": null}'],
        ['{"y": null}'],
    ),
    ({"type": "object", "additionalProperties": {"type": "null"}, "maxProperties": 1}, ['{"a": null}'], ['{"a": 1}']),
    (
        {"properties": {name: {"type": "null"} for name in "abc"}, "minProperties": 2},
        ['{"a": null, "c": null}', '{"b": null, "c": null}', '{"a": null, "b": null, "c": null}'],
        ["{}", '{"a": null}', '{"c": null}', '{"c": null, "d": null}'],
    ),
    (
        {"properties": {name: {"type": "null"} for name in "abc"}, "required": ["b"], "minProperties": 2},
        ['{"a": null, "b": null}', '{"b": null, "c": null}'],
        ['{"b": null}', '{"a": null, "c": null}'],
    ),
    ({"properties": {"a": {"type": "null"}}, "minProperties": 1}, ['{"a": null}'], ["{}"]),
    (
        {"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}},
        ["[]", "[[],[[]]]"],
        ["[1]"],
    ),
    (
        {"type": "object", "properties": {"a": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["a"]},
        ['{"a": {"a": null}}'],
        ['{"a": {}}'],
    ),
    (
        {"properties": {**SELF["properties"], "b": {"type": "null"}}, "minProperties": 1},
        ['{"b": null}', '{"child": {"b": null}}'],
        ["{}", '{"child": {}}'],
    ),
    ({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, ["null", "true"], ["1"]),
    (
        {"oneOf": [{"properties": {"k": {"const": k}}, "required": ["k"]} for k in ("a", "b")]},
        ['{"k": "a"}', '{"k":"b"}'],
        ['{"k": "c"}'],
    ),
    ({"allOf": [{"minimum": 2}, {"type": "integer", "maximum": 4}]}, ["3"], ["1", "5"]),
    *(
        (
            {"type": "object", "propertyNames": names, "additionalProperties": {"type": "integer"}},
            ['{"é": 1}'],
            ['{"a": ""}'],
        )
        for names in ({}, True, {"type": "string", "title": "Key"})
    ),
    *(
        (
            {
                "type": "object",
                "propertyNames": names,
                "additionalProperties": {"type": "integer"},
                "$defs": {"K": {"enum": ["a", "b"], "title": "K", "type": "string"}},
            },
            ["{}", '{"a": 1}', '{"a": 1, "b": 2}'],
            ['{"c": 1}', '{"a": ""}'],
        )
        for names in ({"enum": ["a", "b"]}, {"$ref": "#/$defs/K"})
    ),
    ({"properties": {"a": {}, "b": {}}, "propertyNames": {"const": "b"}}, ["{}", '{"b": 1}'], ['{"a": 1}']),
    (
        {"type": "object", "propertyNames": {"pattern": "^x"}, "additionalProperties": {"type": "null"}},
        ["{}", '{"x1": null}'],
        ['{"y": null}', '{"x": 1}'],
    ),
    ({"type": "string", "nullable": True}, ['"a"', "null"], ["1"]),
    ({"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}, ["-5", "0", "123456789012345678"], ["1.5"]),
    ({"type": "string", "format": "password"}, ['"a b"'], ["1"]),
    ({"type": "string", "format": "starts_with", "pattern": "^a.*"}, ['"ab"'], ['"b"']),
    ({"type": "string", "format": "base64"}, ['""', '"YWI="'], ['"YWI"', '"?"']),
    ({"type": "string", "format": "base64", "pattern": "^Y"}, ['"YWI="'], ['"ZWI="', '"Y"']),
    ({"type": "string", "format": "ulid"}, ['"01ARZ3NDEKTSV4RRFFQ69G5FAV"'], ['"81ARZ3NDEKTSV4RRFFQ69G5FAV"', '"01"']),
    ({"type": "string", "format": "uri-reference"}, ['"a/b?c=d#e"', '"https://a.example/x"'], ['"a b"']),
    (
        {"type": "string", "format": "ipv4network"},
        ['"10.0.0.0/24"', '"10.0.255.7/32"'],
        ['"10.0.0.1/24"', '"1.2.3.256/32"'],
    ),
    ({"type": "string", "format": "json-pointer"}, ['""', '"/a/~0b"'], ['"a"', '"/~2"']),
    (True, ["1", '{"a": [1]}'], ["x"]),
    ({"title": "anything"}, ["1", '{"a": [1]}'], ["x"]),
]


UNIONS = [
    (union(kind("a"), kind("b")), ['{"kind": "a"}', '{"kind": "b"}'], ['{"kind": "c"}', "{}"]),
    (union(kind("a"), {"type": "string"}, {"enum": [1, None]}), ['{"kind": "a"}', '"a"', "null"], ["2"]),
    (union(kind("a", "c"), {"oneOf": [kind("b"), kind("d")]}), ['{"kind": "c"}', '{"kind": "d"}'], ['{"kind": "e"}']),
    (
        union(kind("a", x={"$ref": "#/properties/v"}), kind("b")),
        ['{"kind": "a", "x": {"kind": "a", "x": {"kind": "b"}}}'],
        ['{"kind": "b", "x": {"kind": "b"}}', '{"kind": "a", "x": {}}'],
    ),
    (
        union(*({"properties": {"kind": {"const": n}}} for n in "ab"), type="object", required=["kind"]),
        ['{"kind": "a"}', '{"kind": "b"}'],
        ['{"kind": "c"}', "{}", "1"],
    ),
]


@pytest.mark.parametrize(("schema", "good", "bad"), UNIONS)
def test_a_union_of_definitions_that_exclude_each_other(
    build: Callable[..., GrammarState], texts: Any, schema: Any, good: list[str], bad: list[str]
) -> None:
    source = json.dumps(schema)
    assert [text for text in good if not accepts(build("json_schema", source), texts, f'{{"v": {text}}}')] == []
    assert [text for text in bad if accepts(build("json_schema", source), texts, f'{{"v": {text}}}')] == []


@pytest.mark.parametrize(("schema", "good", "bad"), MATCHES)
def test_keywords_are_enforced(
    build: Callable[..., GrammarState], texts: Any, schema: Any, good: list[str], bad: list[str]
) -> None:
    source = json.dumps(schema)
    assert [text for text in good if not accepts(build("json_schema", source), texts, text)] == []
    assert [text for text in bad if accepts(build("json_schema", source), texts, text)] == []


@pytest.mark.parametrize("additional", [False, {"type": "string"}])
def test_as_many_properties_as_are_accepted_can_be_written(
    build: Callable[..., GrammarState], texts: Any, additional: Any
) -> None:
    """The library's own bound shows where the object begins, and stands above ours."""
    optional = {**MANY, "additionalProperties": additional}
    required = {**MORE["properties"], **MANY["properties"]}
    last = f"p{MAX_FIRST - 1}"
    for schema in (
        {"type": "array", "items": optional},
        {"type": "array", "items": {"type": "object", "properties": required, "required": ["q0"]}},
    ):
        text = json.dumps([{"q0": "", "p3": "", last: ""}] if "required" in schema["items"] else [{"p0": "", last: ""}])
        assert accepts(build("json_schema", json.dumps(schema)), texts, text)


def test_white_space_is_bounded(build: Callable[..., GrammarState], texts: Any) -> None:
    for text, fits in (("{ }", True), ("{\n  }", True), ("{  }", False), ("{\n\n\n}", False)):
        assert accepts(build("json"), texts, text) is fits, text
    assert not accepts(build("json"), texts, " {}")
    assert not accepts(build("json"), texts, "[]")
