"""Errors raised on purpose: domain words inside, HTTP at the edge (`server.STATUS` maps them)."""

import re


class CorralError(Exception):
    """Root of everything Corral raises on purpose.

    `message` says what happened, to what, and what to do about it; `code` is a stable word for programs, by default the
    class's name in snake case.
    """

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code or re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()


class ConfigError(CorralError):
    """A setting that cannot be used.  Raised at boot only, never over HTTP."""


class PluginError(CorralError):
    """Plugins that cannot be used; `message` lists every problem.  Raised at boot only."""


class BadRequest(CorralError):
    """The client sent something that cannot be served as it is."""


class ContextOverflow(BadRequest):
    """The prompt is longer than the context and the client did not allow cutting it."""


class Unsupported(BadRequest):
    """The model, or this installation, lacks an ability the request needs."""


class FormatError(BadRequest):
    """A model file is broken, truncated or lies about itself; the message names file, key or tensor."""


class ModelNotFound(CorralError):
    """No such model in the store, or at the source."""


class Forbidden(CorralError):
    """The request is understood and refused by policy."""


class Busy(CorralError):
    """The queue is full."""


class OutOfMemory(CorralError):
    """Not enough memory; the message says what was needed and what there was."""


class RunnerDied(CorralError):
    """The runner stopped while serving: only its own requests fail, the next one starts a new runner."""
