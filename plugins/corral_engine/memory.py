"""How much memory this process may still use: the machine's free memory, within its control group's limit."""

from pathlib import Path

_V2 = Path("/sys/fs/cgroup")
_V1 = Path("/sys/fs/cgroup/memory")
_UNLIMITED = 1 << 60


def available_bytes() -> int:
    """Bytes that can be had without swapping; a large number where that cannot be known."""
    return min(machine_bytes(), group_bytes())


def machine_bytes() -> int:
    """The machine's free memory."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return _UNLIMITED


def group_bytes() -> int:
    """What the control group's limit leaves."""
    v2 = _left(_V2 / "memory.max", _V2 / "memory.current", _V2 / "memory.stat", "inactive_file")
    v1 = _left(_V1 / "memory.limit_in_bytes", _V1 / "memory.usage_in_bytes", _V1 / "memory.stat", "total_inactive_file")
    return min(v2, v1)


def _left(limit: Path, usage: Path, stat: Path, reclaimable: str) -> int:
    """limit − usage + file pages that would be given up; unlimited where the group sets no limit."""
    try:
        most = int(limit.read_text())
        used = int(usage.read_text())
        lines = (line.split() for line in stat.read_text().splitlines())
        cached = next((int(value) for name, value in lines if name == reclaimable), 0)
    except (OSError, ValueError):
        return _UNLIMITED
    return max(0, most - used + cached) if most < _UNLIMITED else _UNLIMITED
