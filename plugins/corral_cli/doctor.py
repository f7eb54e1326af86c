"""`corral doctor`: what this machine and this installation are like, and what to do about it."""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from corral import ConfigError, CorralError
from corral_cli.flags import CLIENT_VARIABLES, describe, switch
from corral_cli.hookspecs import Check, Finding

if TYPE_CHECKING:
    from corral.kernel import Kernel

_LITTLE_DISK = 2 << 30
_MARKS = {"ok": "ok", "warning": "note", "broken": "BROKEN"}


class PluginCheck:
    """Which plugins run, and what is missing because others do not."""

    name = "plugins"

    async def examine(self, kernel: "Kernel") -> Sequence[Finding]:
        """One finding, and one for each kind of provider without which nothing is answered."""
        rows = kernel.plugins.rows
        off = [row.name for row in rows if row.state == "off"]
        fact = f"{sum(row.state == 'on' for row in rows)} on" + (f", off: {', '.join(off)}" if off else "")
        found = [Finding(fact=fact, values={"off": off})]
        for kind, needed in (
            (kernel.engines, "run a model"),
            (kernel.loaders, "read a model"),
            (kernel.tokenizers, "split text into tokens"),
            (kernel.templates, "render a prompt"),
            (kernel.stores, "keep models"),
            (kernel.routes, "serve"),
        ):
            if not kind:
                advice = f"enable a plugin that offers one{kernel.plugins.hint} (`corral plugins` lists all)"
                fact = f"no plugin can {needed}: there is no {kind.kind}"
                found.append(Finding(fact=fact, state="broken", advice=advice))
        return found


class DiskCheck:
    """Room for models."""

    name = "disk"

    async def examine(self, kernel: "Kernel") -> Sequence[Finding]:
        """Free space where the store lies."""
        from corral_cli.formatting import byte_size

        root = kernel.store.root
        usage = shutil.disk_usage(_existing(root))
        values = {"free_bytes": usage.free, "total_bytes": usage.total}
        fact = f"{byte_size(usage.free)} of {byte_size(usage.total)} free for {root}"
        if usage.free >= _LITTLE_DISK:
            return [Finding(fact=fact, values=values)]
        advice = "remove models (`corral rm`), or move the store (CORRAL_MODELS)"
        return [Finding(fact=fact, state="warning", advice=advice, values=values)]


def _existing(path: Path) -> Path:
    """The nearest folder above that is there."""
    return path if path.exists() else _existing(path.parent)


class ServerCheck:
    """Whether a server listens where the commands look for one."""

    name = "server"

    async def examine(self, kernel: "Kernel") -> Sequence[Finding]:
        """A server that does not run is no fault: commands bring their own."""
        from corral_cli.client import Client

        client = Client(kernel.config.kernel.host)
        is_up = await client.is_up()
        fact = f"listening at {kernel.config.kernel.host}" if is_up else f"none at {kernel.config.kernel.host}"
        if is_up or client.is_local:
            return [Finding(fact=fact, values={"listening": is_up})]
        advice = "start it there, or correct CORRAL_HOST"
        return [Finding(fact=fact, state="broken", advice=advice, values={"listening": False})]


async def examine(kernel: "Kernel", only: str = "") -> list[tuple[str, Finding]]:
    """All findings (or those of the check `only`), each with the name of its check.  The kernel is live."""
    checks: list[Check] = [PluginCheck()]
    for offered in kernel.plugins.offers_of("corral_checks"):
        checks += offered[1]
    found: list[tuple[str, Finding]] = []
    for check in [check for check in (*checks, DiskCheck(), ServerCheck()) if only in ("", check.name)]:
        try:
            found += [(check.name, finding) for finding in await check.examine(kernel)]
        except (CorralError, OSError) as err:
            found.append((check.name, Finding(fact=str(err), state="broken", advice="see above")))
    return found


def text(found: Sequence[tuple[str, Finding]]) -> str:
    """One line a finding, its advice below."""
    lines, before = [], ""
    for name, finding in found:
        title, before = ("" if name == before else name), name
        lines.append(f"{title:<10}{_MARKS[finding.state]:<8}{finding.fact}")
        if finding.advice:
            lines.append(f"{'':<18}→ {finding.advice}")
    return "\n".join(lines) + "\n"


class Doctor:
    """`corral doctor`."""

    name, help = "doctor", "Examine this machine, the store and the plugins"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """`--json`."""
        describe(parser, self.help, CLIENT_VARIABLES)
        switch(parser, "--json", help="print the findings as JSON")

    async def run(self, args: argparse.Namespace, kernel: "Kernel") -> int:
        """Print every finding; the exit code is 1 when something is broken."""
        from corral_cli.busy import Busy
        from corral_cli.logs import start_log

        start_log(kernel, quiet=Busy())
        try:
            async with kernel.live():
                found = await examine(kernel)
        except ConfigError:
            raise
        except (CorralError, OSError) as err:  # a lifespan failed: the checks that need none of it still tell
            advice = "mend this first: nothing runs until it is"
            found = [("start", Finding(fact=str(err), state="broken", advice=advice)), *await examine(kernel)]
        if args.json:
            import msgspec

            rows = [{"check": name, **msgspec.to_builtins(finding)} for name, finding in found]
            print(msgspec.json.format(msgspec.json.encode(rows)).decode())
        else:
            print(text(found), end="")
        return int(any(finding.state == "broken" for _, finding in found))
