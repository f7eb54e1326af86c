"""`corral`: read the configuration, boot, run one command."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from corral import Command, CorralError, __version__, config
from corral.errors import ConfigError, PluginError
from corral.kernel import Kernel


class Parser(argparse.ArgumentParser):
    """Wrong arguments are `Error: …` and exit code 1, without usage text, as in the reference."""

    def error(self, message: str) -> NoReturn:
        raise CorralError(message)


class PluginsCommand:
    """`corral plugins`: the one command the kernel owns, because it must work when all else is broken."""

    name, help = "plugins", "List plugins with their state and origin"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """No arguments."""

    async def run(self, args: argparse.Namespace, kernel: Kernel) -> int:
        """One row a plugin; exit code 2 when one is broken."""
        kinds = [value for value in vars(kernel).values() if hasattr(value, "owners")]
        rows = [("NAME", "STATE", "FROM", "OFFERS", "NOTE")]
        for row in kernel.plugins.rows:
            offers = [
                f"{kind.kind} {name}" for kind in kinds for name, owner in kind.owners.items() if owner == row.name
            ]
            rows.append((row.name, row.state, row.origin, ", ".join(offers) or "-", row.note))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for cells in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
        for problem in kernel.plugins.problems:
            print(f"Error: {problem}", file=sys.stderr)
        return 2 if kernel.plugins.problems else 0


def run(argv: Sequence[str]) -> int:
    """Run one command line; the exit code."""
    early = Parser(add_help=False, allow_abbrev=False)
    early.add_argument("--config", type=Path)
    known, rest = early.parse_known_args(argv)
    settings = config.load(known.config)
    kernel = Kernel(settings)
    commands: dict[str, Command] = {"plugins": PluginsCommand(), **kernel.commands}
    parser = Parser(prog="corral", description="Run language models on your own machine.", allow_abbrev=False)
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration file (default: ~/.config/corral)")
    parser.add_argument("-v", "--version", action="store_true", help="show the version and exit")
    subparsers = parser.add_subparsers(title="Commands", metavar="COMMAND", dest="command", parser_class=Parser)
    for command in commands.values():
        command.configure(subparsers.add_parser(command.name, help=command.help, allow_abbrev=False))
    args = parser.parse_args(rest)
    chosen = commands.get("version" if args.version else args.command or "")
    if args.version and chosen is None:
        print(f"corral version is {__version__}")
        return 0
    if chosen is None:
        parser.print_help()
        return 0
    if chosen.name != "plugins":
        kernel.plugins.require()
    return asyncio.run(chosen.run(args, kernel))


def main() -> int:
    """The console script.  Errors are one `Error: …` on stderr: exit code 2 for the set-up, 1 for the rest."""
    try:
        return run(sys.argv[1:])
    except (ConfigError, PluginError) as err:
        print(f"Error: {err.message}", file=sys.stderr)
        return 2
    except CorralError as err:
        print(f"Error: {err.message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
