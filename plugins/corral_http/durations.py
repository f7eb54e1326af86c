"""Durations as clients write them, in Go's notation, with Go's words for a bad one."""

import re

from corral.config import UNIT_S, duration_s

_NUMBER = r"[0-9]*\.?[0-9]+"


def parse_duration(text: str) -> float:
    """Seconds in a Go duration ("1h30m").  Raises ValueError."""
    body = re.sub(r"^[-+]", "", text.strip())
    if body == "0":  # the one number that needs no unit
        return 0.0
    if re.fullmatch(rf"({_NUMBER}({'|'.join(UNIT_S)}))+", body):
        return duration_s(text)
    if re.fullmatch(_NUMBER, body):
        raise ValueError(f'time: missing unit in duration "{text}"')
    unknown = re.fullmatch(rf"{_NUMBER}([^0-9.]+).*", body)
    if unknown and unknown[1] not in UNIT_S:
        raise ValueError(f'time: unknown unit "{unknown[1]}" in duration "{text}"')
    raise ValueError(f'time: invalid duration "{text}"')
