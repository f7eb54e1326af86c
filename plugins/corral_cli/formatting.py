"""Sizes, times, durations and numbers as people read them, byte for byte as the reference prints them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

_BYTE_UNITS = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "KB"))
_HOURS_A_YEAR = 24 * 365


def byte_size(size_bytes: int) -> str:
    """Decimal units: "999 B", "1.5 KB", "42 GB".  From ten on whole and cut, below with one decimal unless whole."""
    for unit, name in _BYTE_UNITS:
        if size_bytes >= unit:
            value = size_bytes / unit
            return f"{int(value)} {name}" if value >= 10 or size_bytes % unit == 0 else f"{value:.1f} {name}"
    return f"{size_bytes} B"


def count(number: int) -> str:
    """A number of parameters: "7B", "2.8B", "125M", "500.50M", "1K", "999"."""
    if number >= 10**9:
        billions = number / 10**9
        return f"{billions:.0f}B" if number % 10**9 == 0 else f"{billions:.1f}B"
    if number >= 10**6:
        millions = number / 10**6
        return f"{millions:.0f}M" if number % 10**6 == 0 else f"{millions:.2f}M"
    return f"{number / 1000:.0f}K" if number >= 1000 else str(number)


def span(duration: timedelta) -> str:
    """About how long: "Less than a second", "5 minutes", "About an hour", "3 weeks"."""
    seconds = int(duration.total_seconds())
    minutes = seconds // 60
    hours = int(duration.total_seconds() / 3600 + 0.5)
    if seconds < 60:
        return "Less than a second" if seconds < 1 else "1 second" if seconds == 1 else f"{seconds} seconds"
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    if hours < 24 * 14:
        return f"{hours // 24} days"
    if hours < 24 * 60:
        return f"{hours // 24 // 7} weeks"
    if hours < 2 * _HOURS_A_YEAR:
        return f"{hours // 24 // 30} months"
    return f"{seconds // 3600 // _HOURS_A_YEAR} years"


def parse_time(text: str) -> datetime:
    """An RFC 3339 time; digits past microseconds are cut.  Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def relative_time(text: str, now: datetime) -> str:
    """An RFC 3339 time as seen from `now`: "3 days ago", "4 minutes from now", "Never" (year 1), "Forever"."""
    moment = parse_time(text)
    if moment.year <= 1:
        return "Never"
    if int((moment - now).total_seconds() / 3600) // _HOURS_A_YEAR > 20:
        return "Forever"
    return f"{span(moment - now)} from now" if moment > now else f"{span(now - moment)} ago"


def go_duration(nanoseconds: int) -> str:
    """Go's notation: "1h2m3.5s", "5.043500667s", "312.5ms", "0s"."""
    if nanoseconds < 0:
        return "-" + go_duration(-nanoseconds)
    if nanoseconds < 1_000_000_000:
        for unit, name in ((1_000_000, "ms"), (1000, "µs"), (1, "ns")):
            if nanoseconds >= unit:
                return _decimal(nanoseconds, unit) + name
        return "0s"
    minutes, rest = divmod(nanoseconds, 60_000_000_000)
    hours, minutes = divmod(minutes, 60)
    text = _decimal(rest, 1_000_000_000) + "s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def _decimal(number: int, unit: int) -> str:
    """`number / unit`, exactly, without trailing zeros; `unit` is a power of ten."""
    whole, rest = divmod(number, unit)
    digits = str(unit + rest)[1:].rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)


def general(number: float) -> str:
    """C's `%g` with as many digits as needed: "0.1", "131072", "1.34515008e+08"."""
    value = Decimal(repr(float(number)))
    if not value.is_finite():
        return str(float(number))
    if value.is_zero():
        return "-0" if value.is_signed() else "0"
    value = value.normalize()
    exponent = value.adjusted()
    if -4 <= exponent < 6:
        return format(value, "f")
    mantissa = value.scaleb(-exponent).normalize()
    return f"{mantissa:f}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
