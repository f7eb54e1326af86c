"""Corral's kernel: it knows that there are weights, tokenizers, templates, engines and dialects, and in what order they
meet; only plugins know how any of them works.  The names below are all that a plugin may import.
"""

import pluggy

from corral.errors import *  # noqa: F403  every error class is public
from corral.protocols import *  # noqa: F403  every protocol is public
from corral.runners import *  # noqa: F403  every value that crosses to an engine is public
from corral.types import *  # noqa: F403  every value is public

hookspec = pluggy.HookspecMarker("corral")
hookimpl = pluggy.HookimplMarker("corral")

__version__ = "0.1.0"
API_VERSION = "0.30.0"  # clients gate features on the version of Ollama whose API this is
