"""The grammar of the command line: flags anywhere before `--`, and one-line errors in the reference's words."""

import argparse
import difflib
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from corral.errors import CorralError

_BAD_VALUE = re.compile(r"argument ([^ ]+): invalid \w+ value: '(.*)'")


class PlainParser(argparse.ArgumentParser):
    """argparse whose errors are a CorralError: `Error: …` and exit code 1, without usage text."""

    def error(self, message: str) -> NoReturn:
        """Raise `message`; what argparse says about a value is put as the reference puts it."""
        if bad := _BAD_VALUE.fullmatch(message):
            raise CorralError(f'invalid argument "{bad[2]}" for "{bad[1].replace("/", ", ")}" flag: invalid syntax')
        raise CorralError(re.sub(r"^argument [^ ]+: ", "", message))

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """After help: raises BrokenPipeError while that can still be told from a fault."""
        sys.stdout.flush()
        super().exit(status, message)


class Parser(PlainParser):
    """Flags may follow arguments, `--` ends them, a flag's optional value needs `=`; arity and names are checked."""

    def parse_known_args(  # type: ignore[override]  # the namespace is argparse's own or ours, never another class
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """As argparse, after `args` was sorted into flags and words.  Raises CorralError."""
        given = list(sys.argv[1:] if args is None else args)
        positionals = [action for action in self._actions if not action.option_strings]
        commands = next((action for action in positionals if isinstance(action, argparse._SubParsersAction)), None)
        flags, words = self._split(given, stop_at_word=commands is not None)
        if commands is not None:
            if words and words[0] not in commands.choices:
                self.error(_unknown_command(words[0], self.prog, [action.dest for action in commands._choices_actions]))
            return super().parse_known_args([*flags, *words], namespace)
        if not {"-h", "--help"} & set(flags):
            self._check_arity(positionals, len(words))
        return super().parse_known_args([*flags, *(["--", *words] if words else [])], namespace)

    def _split(self, given: list[str], *, stop_at_word: bool) -> tuple[list[str], list[str]]:
        flags: list[str] = []
        words: list[str] = []
        while given:
            arg = given.pop(0)
            if arg == "--":
                return flags, words + given
            if not arg.startswith("-") or arg == "-":
                words.append(arg)
                if stop_at_word:
                    return flags, words + given
            elif arg.startswith("--"):
                name, _, value = arg.partition("=")
                flags += self._flag(name, value if "=" in arg else None, given, f"unknown flag: {name}")
            else:
                flags += self._short(arg, given)
        return flags, words

    def _short(self, arg: str, given: list[str]) -> list[str]:
        """`-f FILE`, `-fFILE`, `-f=FILE`, and several letters without values in one (`-ab`)."""
        flags: list[str] = []
        letters = arg[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            action = self._option_string_actions.get(f"-{letter}")
            takes_rest = letters and (letters[0] == "=" or (action is not None and action.nargs is None))
            value = letters.removeprefix("=") if takes_rest else None
            flags += self._flag(f"-{letter}", value, given, f"unknown shorthand flag: '{letter}' in {arg}")
            if takes_rest:
                break
        return flags

    def _flag(self, name: str, value: str | None, given: list[str], unknown: str) -> list[str]:
        """One flag for argparse, with its value (taken from `given` when it must have one)."""
        action = self._option_string_actions.get(name)
        if action is None:
            self.error(unknown)
        if value is None and action.nargs is None:
            if not given:
                short = f"'{name[1:]}' in {name}"
                self.error(f"flag needs an argument: {name if name.startswith('--') else short}")
            value = given.pop(0)
        long = max(action.option_strings, key=len)
        return [long] if value is None else [f"{long}={value}"]

    def _check_arity(self, positionals: list[argparse.Action], received: int) -> None:
        least = sum(1 for action in positionals if action.nargs in (None, "+"))
        bounded = all(action.nargs is None for action in positionals)
        if bounded and received != least:
            self.error(f"accepts {least} arg(s), received {received}")
        if received < least:
            self.error(f"requires at least {least} arg(s), only received {received}")


def _unknown_command(name: str, program: str, commands: list[str]) -> str:
    """The message, with the commands that `name` may have been meant for."""
    meant = [command for command in commands if command.startswith(name)]
    meant += [close for close in difflib.get_close_matches(name, commands) if close not in meant]
    hint = "".join(f"\n\t{command}" for command in meant)
    return f'unknown command "{name}" for "{program}"' + (f"\n\nDid you mean this?{hint}\n" if hint else "")
