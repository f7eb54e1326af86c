"""What the commands' parsers share: boolean flags that take `=`, and the environment's part of `--help`."""

import argparse
import textwrap

_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")

CLIENT_VARIABLES = {
    "CORRAL_HOST": "The server to talk to, or to be (default 127.0.0.1:11434)",
}
RUN_VARIABLES = {
    **CLIENT_VARIABLES,
    "CORRAL_EDITOR": "Editor for the prompt (Ctrl+G); else VISUAL, EDITOR, vi",
    "CORRAL_NOHISTORY": "Do not keep a history of prompts",
}
SERVER_VARIABLES = {
    **CLIENT_VARIABLES,
    "CORRAL_MODELS": "Folder of the models (default ~/.ollama/models)",
    "CORRAL_KEEP_ALIVE": "How long models stay loaded (default 5m)",
    "CORRAL_LOAD_TIMEOUT": "How long a load may stall (default 5m)",
    "CORRAL_CONTEXT_LENGTH": "Context length where a model or request names none",
    "CORRAL_NUM_PARALLEL": "Requests a model answers at the same time (default 8)",
    "CORRAL_MAX_LOADED_MODELS": "Models in memory at the same time (default 3)",
    "CORRAL_MAX_QUEUE": "Requests that may wait (default 512)",
    "CORRAL_KV_CACHE_TYPE": "Type of the KV cache (default f16)",
    "CORRAL_ORIGINS": "Further allowed origins, comma separated",
    "CORRAL_GO_TEMPLATE": "1: always the Modelfile's template, 0: never",
    "CORRAL_NOPRUNE": "Keep unused blobs at start",
    "CORRAL_DEBUG": "1: debug messages, 2: more",
}


def switch(parser: argparse.ArgumentParser, *names: str, help: str, default: bool | None = False) -> None:
    """A boolean flag: `--flag`, `--flag=false`; `default` when it is absent."""
    parser.add_argument(*names, nargs="?", const=True, default=default, type=boolean, metavar="BOOL", help=help)


def boolean(text: str) -> bool:
    """A boolean as Go reads it.  Raises ValueError."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(text)


def describe(parser: argparse.ArgumentParser, text: str, variables: dict[str, str] | None = None) -> None:
    """Set what `--help` says about the command and the environment; every CORRAL_ variable has an OLLAMA_ twin."""
    widest = max(map(len, variables), default=0) if variables else 0
    lines = [f"  {name:<{widest}}  {meaning}" for name, meaning in (variables or {}).items()]
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = textwrap.fill(text, 100)
    if lines:
        note = "\n\nOLLAMA_ names work as well; where both are set CORRAL_ wins."
        parser.epilog = "Environment Variables:\n" + "\n".join(lines) + note
