"""`/show`: facts about the session's model."""

import sys

from corral import JSONObject
from corral_cli.repl import pages
from corral_cli.repl.state import State
from corral_cli.session import Session
from corral_cli.show import sections, value_text

_TEXTS = {
    "license": "No license was specified for this model.",
    "template": "No prompt template was specified for this model.",
}


async def show(state: State, line: str) -> None:
    """Print what `line` names."""
    words, session = line.split(), state.session
    if len(words) < 2:
        print(pages.SHOW, file=sys.stderr)
        return
    shown = await state.client.show(session.model, system=session.system, options=session.options)
    match words[1]:
        case "info":
            print(sections(shown), end="", file=sys.stderr)
        case "license" | "template" as name:
            print(shown.get(name) or _TEXTS[name])
        case "modelfile":
            print(shown.get("modelfile") or "")
        case "parameters":
            print(parameters(shown, session), end="")
        case "system":
            text = session.system or shown.get("system")
            print(f"{text}\n" if text else "No system message was specified for this model.")
        case other:
            print(f"Unknown command '/show {other}'. Type /? for help")


def parameters(shown: JSONObject, session: Session) -> str:
    """The model's parameters, then the session's."""
    lines = (shown.get("parameters") or "No additional parameters were specified for this model.").splitlines()
    text = "Model defined parameters:\n" + "".join(f"  {line}\n" for line in lines) + "\n"
    if session.options:
        own = "".join(f"  {name:<30} {value_text(value, limit=0)}\n" for name, value in session.options.items())
        text += f"User defined parameters:\n{own}\n"
    return text
