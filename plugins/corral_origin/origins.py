"""Which origins may read answers: patterns with at most one `*`, which stands for any text."""

import re

from corral import ConfigError

_LOCAL_HOSTS = ("localhost", "127.0.0.1", "0.0.0.0")
_LOCAL = tuple(
    f"{scheme}://{host}{port}" for host in _LOCAL_HOSTS for scheme in ("http", "https") for port in ("", ":*")
)
ALWAYS = (*_LOCAL, "app://*", "file://*", "tauri://*", "vscode-webview://*", "vscode-file://*")
_SCHEME = re.compile(r"(https?|chrome-extension|moz-extension|safari-extension|ms-browser-extension)://")


def patterns(setting: str) -> tuple[str, ...]:
    """The setting's comma separated patterns, then those that are always allowed."""
    return (*(each.strip() for each in setting.split(",") if each.strip()), *ALWAYS)


def check(setting: str) -> None:
    """Raises ConfigError for a pattern that has neither a `*` nor the scheme of a page or an extension."""
    for pattern in patterns(setting):
        if pattern.count("*") > 1:
            raise ConfigError(f'origins: "{pattern}" has more than one *')
        if "*" not in pattern and _SCHEME.match(pattern) is None and pattern not in ALWAYS:
            raise ConfigError(f'origins: "{pattern}" needs a scheme (https://…) or a *')


def allows_all(setting: str) -> bool:
    """Whether the setting holds a bare `*`."""
    return "*" in patterns(setting)


def is_allowed(origin: str, setting: str) -> bool:
    """Whether `origin` matches a pattern."""
    return any(_matches(origin, pattern) for pattern in patterns(setting))


def _matches(origin: str, pattern: str) -> bool:
    head, star, tail = pattern.partition("*")
    if not star:
        return origin == pattern
    return len(origin) >= len(head) + len(tail) and origin.startswith(head) and origin.endswith(tail)
