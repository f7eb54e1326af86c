"""`corral`: read the configuration, boot, run one command."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from corral import Command, CorralError, config
from corral.errors import ConfigError, PluginError
from corral.kernel import Kernel


class PluginsCommand:
    """`corral plugins`: the one command the kernel owns, because it must work when all else is broken."""

    name, help = "plugins", "List plugins with their state and origin"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """No arguments."""

    async def run(self, args: argparse.Namespace, kernel: Kernel) -> int:
        """One row a plugin; exit code 2 when one is broken."""
        kinds = [value for value in vars(kernel).values() if hasattr(value, "owners")]
        table = [("NAME", "STATE", "FROM", "OFFERS", "NOTE")]
        for row in kernel.plugins.rows:
            mine = {kind.kind: [name for name in kind if kind.owners[name] == row.name] for kind in kinds}
            offers = [f"{k} {'|'.join(n)}" if len(n) < 4 else f"{len(n)} {k}s" for k, n in mine.items() if n]
            table.append((row.name, row.state, row.origin, ", ".join(offers) or "-", row.note))
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for cells in table:
            print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
        sys.stderr.writelines(f"Error: {problem}\n" for problem in kernel.plugins.problems)
        return 2 if kernel.plugins.problems else 0


def run(argv: Sequence[str]) -> int:
    """Run one command line; the exit code."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    early.add_argument("--config", type=Path)
    try:
        known, rest = early.parse_known_args(argv)
    except argparse.ArgumentError as err:
        raise CorralError(f"flag needs an argument: --config ({err.message})") from err
    kernel = Kernel(config.load(known.config))
    grammar = getattr(kernel.plugins.manager.hook, "corral_command_parser", lambda: None)  # the command line plugin's
    parser_class: type[argparse.ArgumentParser] = grammar() or argparse.ArgumentParser
    commands: dict[str, Command] = {**kernel.commands, "plugins": PluginsCommand()}
    parser = parser_class(prog="corral", description="Run language models on your own machine.", allow_abbrev=False)
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (default: ~/.config/corral/corral.toml)")
    parser.add_argument("-v", "--version", action="store_true", help="show the version and exit")
    subparsers = parser.add_subparsers(title="Commands", metavar="COMMAND", dest="command", parser_class=parser_class)
    for command in commands.values():
        listed: dict[str, Any] = {"help": command.help} if command.help else {}  # help does not list an alias
        command.configure(subparsers.add_parser(command.name, allow_abbrev=False, **listed))
    if grammar() is None and rest and not rest[0].startswith("-") and rest[0] not in commands:
        raise CorralError(f"unknown command {rest[0]!r} (there is {', '.join(commands)}){kernel.plugins.hint}")
    args = parser.parse_args(rest)
    chosen = commands.get("version" if args.version else args.command or "")
    if chosen is None:
        parser.print_help()
        return 0
    if chosen.name != "plugins":
        kernel.plugins.require()
    import asyncio  # late, so that help and argument errors do not wait for it

    return asyncio.run(chosen.run(args, kernel))


def main() -> int:
    """The console script.  Errors are one `Error: …` on stderr: exit code 2 for the set-up, 1 for the rest."""
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
        return code
    except CorralError as err:
        print(f"Error: {err.message}", file=sys.stderr)
        return 2 if isinstance(err, ConfigError | PluginError) else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # who read our output has left; the interpreter's own flush must not fail either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
