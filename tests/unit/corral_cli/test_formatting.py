"""Sizes, times, durations: the vectors of the reference."""

from datetime import UTC, datetime, timedelta

import pytest

from corral_cli.formatting import byte_size, count, general, go_duration, relative_time, span

NOW = datetime(2026, 8, 21, 10, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 KB"),
        (1024, "1.0 KB"),
        (1500, "1.5 KB"),
        (999999, "999 KB"),
        (1_000_000, "1 MB"),
        (42_500_000_000, "42 GB"),
        (1_999_999_999_999, "2.0 TB"),
        (5_000_000_000_000_000, "5000 TB"),
    ],
)
def test_sizes_are_decimal(size: int, text: str) -> None:
    assert byte_size(size) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (999, "999"),
        (1000, "1K"),
        (125_000_000, "125M"),
        (500_500_000, "500.50M"),
        (134_515_008, "134.52M"),
        (7_000_000_000, "7B"),
        (2_800_000_000, "2.8B"),
    ],
)
def test_numbers_of_parameters(number: int, text: str) -> None:
    assert count(number) == text


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(milliseconds=999), "Less than a second"),
        (timedelta(seconds=1), "1 second"),
        (timedelta(seconds=59), "59 seconds"),
        (timedelta(seconds=60), "About a minute"),
        (timedelta(minutes=59, seconds=59), "59 minutes"),
        (timedelta(hours=1), "About an hour"),
        (timedelta(hours=1, minutes=29), "About an hour"),
        (timedelta(hours=1, minutes=30), "2 hours"),
        (timedelta(hours=24), "24 hours"),
        (timedelta(hours=47), "47 hours"),
        (timedelta(hours=48), "2 days"),
        (timedelta(days=13), "13 days"),
        (timedelta(days=14), "2 weeks"),
        (timedelta(days=59), "8 weeks"),
        (timedelta(days=60), "2 months"),
        (timedelta(days=729), "24 months"),
        (timedelta(days=730), "2 years"),
    ],
)
def test_spans(duration: timedelta, text: str) -> None:
    assert span(duration) == text


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        ("2026-08-20T10:00:00Z", "24 hours ago"),
        ("2026-08-19T10:00:00.123456789Z", "2 days ago"),  # 47.99 hours are 48
        ("2026-08-19T10:00:00Z", "2 days ago"),
        ("2026-08-21T12:05:00+02:00", "5 minutes from now"),
        ("0001-01-01T00:00:00Z", "Never"),
        ("2318-08-21T10:00:00Z", "Forever"),
        ("2036-08-21T10:00:00Z", "10 years from now"),
    ],
)
def test_times_are_relative(moment: str, text: str) -> None:

    assert relative_time(moment, NOW) == text


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5µs"),
        (5_025_959, "5.025959ms"),
        (312_500_000, "312.5ms"),
        (5_043_500_667, "5.043500667s"),
        (60_000_000_000, "1m0s"),
        (3_723_500_000_000, "1h2m3.5s"),
        (-2_000_000_000, "-2s"),
    ],
)
def test_durations_are_gos(nanoseconds: int, text: str) -> None:
    assert go_duration(nanoseconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (131072, "131072"),
        (1_048_576, "1.048576e+06"),
        (134_515_008, "1.34515008e+08"),
        (1_000_000, "1e+06"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (0.000015, "1.5e-05"),
        (-2.5, "-2.5"),
        (float("inf"), "inf"),
    ],
)
def test_numbers_are_general(number: float, text: str) -> None:
    assert general(number) == text
