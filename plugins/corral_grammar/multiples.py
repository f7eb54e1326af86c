"""How large a machine `multipleOf` needs: the library builds one state for each remainder, and has no limit there."""

from collections.abc import Iterable
from decimal import Decimal
from math import lcm

from corral import BadRequest, JSONObject

MAX_REMAINDERS = 100_000  # half a second and 50 MB


def count_remainders(schemas: Iterable[JSONObject], *, together: bool) -> int:
    """At most; `together`: they may lie over each other, and then only their common multiples fit."""
    values = {schema["multipleOf"] for schema in schemas if "multipleOf" in schema}
    if any(value > MAX_REMAINDERS for value in values):
        return MAX_REMAINDERS + 1
    steps = [Decimal(str(value)).normalize() for value in values]
    places = [max(0, -int(step.as_tuple().exponent)) for step in steps]
    if together:
        return lcm(*(int(step.scaleb(max(places))) for step in steps)) if steps else 0
    return sum(int(step.scaleb(n_places)) for step, n_places in zip(steps, places, strict=True))


def check_remainders(count: int) -> None:
    """Raises BadRequest."""
    if count > MAX_REMAINDERS:
        raise BadRequest(f"JSON schema too large: multipleOf leaves more than {MAX_REMAINDERS} remainders")
