"""Go's durations, and Go's words for what is none."""

import pytest

from corral_http.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5m", 300),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("0", 0),
        ("0s", 0),
        ("-1s", -1),
        ("300ms", 0.3),
        ("+2s", 2),
        ("1m0.5s", 60.5),
    ],
)
def test_a_go_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10", 'time: missing unit in duration "10"'),
        ("abc", 'time: invalid duration "abc"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'),
        ("", 'time: invalid duration ""'),
    ],
)
def test_a_bad_duration_says_what_go_says(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="time: ") as err:
        parse_duration(text)
    assert str(err.value) == message
