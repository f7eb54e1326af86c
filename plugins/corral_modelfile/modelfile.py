"""A Modelfile as data: its instructions in order, and what they amount to."""

import re

from corral import BadRequest, JSONObject, Message, Value
from corral_generation.options import resolve_options
from corral_modelfile.parameters import typed

COMMANDS = frozenset(
    (
        "from",
        "license",
        "template",
        "system",
        "adapter",
        "draft",
        "renderer",
        "parser",
        "parameter",
        "message",
        "requires",
    )
)
ROLES = frozenset(("system", "user", "assistant"))
_NUMBER = r"(0|[1-9][0-9]*)"
_WORDS = r"[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*"
# https://semver.org, also short of the patch or the minor number
_SEMVER = re.compile(rf"{_NUMBER}(\.{_NUMBER}(\.{_NUMBER}(-{_WORDS})?(\+{_WORDS})?)?)?", re.ASCII)


def require_version(text: str, where: str = "") -> str:
    """REQUIRES without a leading v.  Raises BadRequest for what is no version."""
    version = text.removeprefix("v")
    if text and _SEMVER.fullmatch(version) is None:
        raise BadRequest(f"requires must be a valid semver (e.g. 0.14.0){where}")
    return version


class Instruction(Value, frozen=True):
    """One command in lower case.  `key` is a parameter's name or a message's role, `line` where it begins, from 1."""

    command: str
    value: str
    key: str = ""
    line: int = 0

    def check(self) -> None:
        """Raises BadRequest for a parameter that is unknown or has a bad value, with its name and line."""
        try:
            resolve_options(typed([(self.key, self.value)])[0], {})
        except BadRequest as err:
            raise BadRequest(f"{err.message} (line {self.line}: PARAMETER {self.key})") from err


class Modelfile(Value, frozen=True):
    """All instructions of a file, in order."""

    instructions: tuple[Instruction, ...]

    def values(self, command: str) -> list[str]:
        """Every value given to a command."""
        return [each.value for each in self.instructions if each.command == command]

    def last(self, command: str) -> str:
        """The value that counts of a command that may stand once; empty without one."""
        return next(reversed(self.values(command)), "")

    @property
    def parameters(self) -> JSONObject:
        """Typed parameters by name: the last value counts, lists gather.  Raises BadRequest."""
        return self._typed()[0]

    @property
    def warnings(self) -> list[str]:
        """What was accepted and left out.  Raises BadRequest like `parameters`."""
        return self._typed()[1]

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation every chat begins with."""
        return tuple(Message(role=each.key, content=each.value) for each in self._all("message"))

    @property
    def requires(self) -> str:
        """The version of the server this model needs, without a leading v.  Raises BadRequest."""
        found = self._all("requires")
        return require_version(found[-1].value, f" (line {found[-1].line}: REQUIRES)") if found else ""

    def fields(self) -> JSONObject:
        """The fields of POST /api/create that need no files; empty ones are left out.  Raises BadRequest."""
        fields = {
            "template": self.last("template"),
            "system": self.last("system"),
            "renderer": self.last("renderer"),
            "parser": self.last("parser"),
            "requires": self.requires,
            "license": self.values("license"),
            "parameters": self.parameters,
            "messages": [{"role": message.role, "content": message.content} for message in self.messages],
        }
        return {name: value for name, value in fields.items() if value}

    def _typed(self) -> tuple[JSONObject, list[str]]:
        found = self._all("parameter")
        for each in found:
            each.check()
        return typed((each.key, each.value) for each in found)

    def _all(self, command: str) -> list[Instruction]:
        return [each for each in self.instructions if each.command == command]
