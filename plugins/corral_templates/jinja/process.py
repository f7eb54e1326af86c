"""The process that renders strangers' templates: started when there is one, ended when it overruns, started anew."""

import os
import signal
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

from corral import BadRequest

_PROGRAM = Path(__file__).with_name("sandbox.py")
_ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TZ", "LANG")
_GRACE_S = 4.0  # wall time granted beyond the processor time, for a busy machine


class RenderProcess:
    """One renderer.  Threads take turns; a template that overruns ends the process, not the server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def warm(self) -> None:
        """Start the process without waiting for it, so that a request finds it ready."""
        if self._lock.acquire(blocking=False):  # else it is at work
            try:
                self._running()
            finally:
                self._lock.release()

    def ask(self, request: dict[str, Any]) -> str:
        """Render one template; `request["cpu_s"]` bounds it.  Blocks.  Raises BadRequest."""
        with self._lock:
            process = self._running()
            overdue = threading.Event()

            def end() -> None:
                overdue.set()
                process.kill()

            timer = threading.Timer(request["cpu_s"] + _GRACE_S, end)
            timer.start()
            try:
                reply = self._exchange(process, request)
            finally:
                timer.cancel()
            if reply is None:
                self._stop()
                self._running()  # for the next request
                timed_out = overdue.is_set() or process.returncode == -getattr(signal, "SIGPROF", 0)
                reason = "it runs too long" if timed_out else f"the renderer ended with code {process.returncode}"
                raise BadRequest(f"template error: {reason}")
            if reply.get("last"):
                self._stop()
                self._running()
        if "error" in reply:
            raise BadRequest(f"template error: {reply['error']}")
        return str(reply["text"])

    def close(self) -> None:
        """End the process; a later request starts another."""
        with self._lock:
            self._stop()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self._stop()
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(_PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                start_new_session=True,  # a Ctrl-C on the terminal is for the server, which ends this one itself
            )
            weakref.finalize(self, _end, self._process)
        return self._process

    @staticmethod
    def _exchange(process: subprocess.Popen[bytes], request: dict[str, Any]) -> dict[str, Any] | None:
        """The reply; None when the process ended before it gave one."""
        from corral_templates.jinja.sandbox import read_frame, write_frame

        if process.stdin is None or process.stdout is None:
            return None
        try:
            write_frame(process.stdin, request)
            reply: dict[str, Any] | None = read_frame(process.stdout)
        except OSError:
            return None
        return reply

    def _stop(self) -> None:
        if self._process is not None:
            _end(self._process)
            self._process = None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill, wait, close the pipes.  Does no harm to a process that has ended."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:  # what was not yet written has no reader any more
                continue
