"""`/set`: everything about a session that can be changed."""

import sys

from corral import CorralError
from corral_cli.repl import pages
from corral_cli.repl.prompt import QUOTES, quoted
from corral_cli.repl.state import State
from corral_modelfile.parameters import typed


async def set_(state: State, line: str) -> None:
    """Change what `line` names; without a name, or where a value is missing, say what there is."""
    session, words = state.session, line.split()
    match words[1:]:
        case ["history", *_]:
            state.history.enabled = True
        case ["nohistory", *_]:
            state.history.enabled = False
        case ["wordwrap" | "nowordwrap" as mode, *_]:
            session.word_wrap = mode == "wordwrap"
            print(f"Set '{mode}' mode.")
        case ["verbose" | "quiet" as mode, *_]:
            session.verbose = mode == "verbose"
            print(f"Set '{mode}' mode.")
        case ["format", "json", *_]:
            session.format = "json"
            print("Set format to 'json' mode.")
        case ["format", *_]:
            print("Invalid or missing format. For 'json' mode use '/set format json'")
        case ["noformat", *_]:
            session.format = ""
            print("Disabled format.")
        case ["think", *levels]:
            session.think = levels[0] if levels else True
            print("Set 'think' mode" + (f" to '{levels[0]}'." if levels else "."))
            _warn(state)
        case ["nothink", *_]:
            session.think = False
            print("Set 'nothink' mode.")
            _warn(state)
        case ["parameter", name, _, *_]:
            _parameter(state, name, words[3:])
        case ["parameter", *_]:
            print(pages.PARAMETERS, file=sys.stderr)
        case ["system", _, *_]:
            _system(state, line)
        case [] | ["system"]:
            print(pages.SET, file=sys.stderr)
        case [other, *_]:
            print(f"Unknown command '/set {other}'. Type /? for help")


def _warn(state: State) -> None:
    if "thinking" not in state.session.capabilities:
        print(f'warning: model "{state.session.model}" does not support thinking output', file=sys.stderr)


def _parameter(state: State, name: str, values: list[str]) -> None:
    try:
        options, warnings = typed((name, value) for value in values)
    except CorralError as err:
        print(f'Couldn\'t set parameter: "{err.message}"')
        return
    print("".join(f"{warning}\n" for warning in warnings[:1]), end="")
    state.session.options |= options
    print(f"Set parameter '{name}' to '{', '.join(values)}'")


def _system(state: State, line: str) -> None:
    body = quoted(line)
    text = body.removesuffix(QUOTES) if body is not None else line.split(maxsplit=2)[2]
    session = state.session
    session.system = text
    if session.messages and session.messages[-1]["role"] == "system":
        session.messages.pop()
    session.messages.append({"role": "system", "content": text})
    print("Set system message.")
