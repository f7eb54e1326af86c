"""How many properties an object must have, said by names: one of several sets of them is required.

The library counts properties only where all are required.
"""

from collections.abc import Iterable
from itertools import combinations
from math import comb

from corral import JSON, BadRequest, JSONObject
from corral_grammar.tags import UNSUPPORTED

_MAX_NAMES = 450  # properties in all sets together: the library's lexer takes half a second for a thousand
_COMBINES = ("anyOf", "oneOf", "allOf", "$ref")


def settle_counts(nodes: Iterable[tuple[str, JSONObject]]) -> None:
    """Replace `minProperties` beyond what is required.  Raises BadRequest by its path where that cannot be."""
    for path, schema in nodes:
        least, required = int(schema.get("minProperties", 0)), {*schema.get("required", ())}
        if least <= max(1, len(required)) and not (least == 1 and _is_closed(schema) and not required):
            continue
        schema.pop("minProperties")
        schema["anyOf"] = [{"required": [*names]} for names in _sets(schema, least, required, f"{path}.minProperties")]


def _sets(schema: JSONObject, least: int, required: set[str], path: str) -> list[tuple[str, ...]]:
    optional = [
        name for name, inside in schema.get("properties", {}).items() if name not in required and inside is not False
    ]
    missing = least - len(required)
    if not _is_closed(schema):
        raise BadRequest(
            f"{UNSUPPORTED}{path} cannot be enforced beyond the {max(1, len(required))} required, "
            "for further names may repeat"
        )
    if any(key in schema for key in _COMBINES):
        raise BadRequest(f"{UNSUPPORTED}{path} cannot be enforced beside {', '.join(_COMBINES)}")
    if missing > len(optional):
        raise BadRequest(f"invalid JSON schema: {path} asks for more properties than there are")
    n_sets, n_names = comb(len(optional), missing), len(schema["properties"])
    if n_sets * n_names > _MAX_NAMES:
        raise BadRequest(
            f"{UNSUPPORTED}{path} cannot be enforced: there are too many ways to choose {missing} of {len(optional)} "
            "optional properties"
        )
    return [*combinations(optional, missing)]


def _is_closed(schema: JSONObject) -> bool:
    closed: JSON = schema.get("additionalProperties", "properties" not in schema)
    return closed is False and "patternProperties" not in schema
