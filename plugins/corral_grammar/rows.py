"""How much the library has to look at where an object begins: every property that may come first, a few times over.

It gives up beyond 2000 items, and only when a sequence has come to that place.
"""

from collections.abc import Callable, Sequence

from corral import JSON, BadRequest, JSONObject

MAX_FIRST = 450  # four items for each
_MAX_STEPS = 100_000


def check_rows(nodes: Sequence[tuple[str, JSONObject]], target: Callable[[str], JSON]) -> None:
    """Raises BadRequest naming the path.  `nodes`: all schemas; `target`: what a `$ref` leads to."""
    first = {id(schema): _first(schema) for _, schema in nodes}
    if sum(first.values()) <= MAX_FIRST:
        return
    steps = 0
    for path, schema in nodes:
        count, seen, todo = 0, {id(schema)}, [schema]
        while todo:
            steps += 1
            if steps > _MAX_STEPS:
                raise BadRequest(f"JSON schema too large: {path} is put together from too many others")
            part = todo.pop()
            count += first[id(part)]
            for each in _laid_over(part, target):
                if isinstance(each, dict) and id(each) not in seen:
                    seen.add(id(each))
                    todo.append(each)
        if count > MAX_FIRST:
            where = f"{path}.properties" if first[id(schema)] == count else path
            raise BadRequest(
                f"JSON schema too large: {where} has {count} optional properties before the first required one, "
                f"alternatives included; at most {MAX_FIRST} are supported: require one that stands before them"
            )


def _first(schema: JSONObject) -> int:
    """How many optional properties may open the object."""
    required, count = {*schema.get("required", ())}, 0
    for name in schema.get("properties", ()):
        if name in required:
            break
        count += 1
    return count


def _laid_over(schema: JSONObject, target: Callable[[str], JSON]) -> list[JSON]:
    inside = [each for key in ("allOf", "anyOf", "oneOf") for each in schema.get(key, ())]
    return [*inside, target(schema["$ref"])] if "$ref" in schema else inside
