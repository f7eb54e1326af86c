"""The one entry to all checks: `python tests/check.py [lint|type|test|all]`; CI runs the same."""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
STEPS = {
    "lint": [[PYTHON, "-m", "ruff", "format", "--check", "."], [PYTHON, "-m", "ruff", "check", "."]],
    "type": [[PYTHON, "-m", "mypy"]],
    "test": [[PYTHON, "-m", "pytest"]],
}


def main(argv: list[str]) -> int:
    """Run the chosen steps (default: all) to the end and return 1 when any of them failed."""
    chosen = argv or ["all"]
    names = list(STEPS) if chosen == ["all"] else chosen
    if unknown := [name for name in names if name not in STEPS]:
        print(f"unknown step {unknown[0]!r}; one of: {', '.join(STEPS)}, all")
        return 2
    environment = {**os.environ, "NUMBA_NUM_THREADS": os.environ.get("NUMBA_NUM_THREADS", "2")}
    failed = []
    for name in names:
        for command in STEPS[name]:
            began = time.monotonic()
            print(f"== {name}: {' '.join(command[1:])}", flush=True)
            code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
            print(f"== {name}: {'ok' if code == 0 else 'FAILED'} in {time.monotonic() - began:.0f} s", flush=True)
            if code:
                failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
