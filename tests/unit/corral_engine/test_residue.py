"""Memory that only a load needed: what may be dropped, and that dropping it breaks nothing."""

import sys
from pathlib import Path

import pytest

from corral_engine import residue

SMAPS = """\
7f0000000000-7f0000003000 r-xp 00000000 fe:00 1    /lib/libllvmlite.so
Rss:                  12 kB
Anonymous:             0 kB
7f0000003000-7f0000004000 r--p 00003000 fe:00 1    /lib/libllvmlite.so
Rss:                   4 kB
Anonymous:             4 kB
7f0000004000-7f0000006000 r-xp 00000000 fe:00 2    /lib/libother.so
Anonymous:             0 kB
7f0000006000-7f0000008000 rw-p 00000000 00:00 0
Anonymous:             0 kB
"""


def test_only_pages_that_the_file_still_has_are_dropped() -> None:
    assert residue.untouched(SMAPS, "libllvmlite") == [(0x7F0000000000, 0x3000)]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_llvm_works_afterwards() -> None:
    from llvmlite import binding

    binding.initialize_native_target()
    maps = Path("/proc/self/smaps").read_text(encoding="utf-8", errors="replace")
    assert residue.untouched(maps, "libllvmlite")
    residue.give_back()
    module = binding.parse_assembly("define i32 @three() {\n  ret i32 3\n}")
    assert "@three" in str(module)


def test_a_system_without_proc_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    residue.give_back()
