"""Settings: struct defaults, then corral.toml, then the environment, then the command line; later wins."""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from corral.errors import ConfigError
from corral.types import Settings

DEFAULT_PORT = 11434
_DURATION = re.compile(r"([0-9]*\.?[0-9]+)(ns|us|µs|ms|s|m|h)")
_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class KernelSettings(Settings, frozen=True):
    """The table `[kernel]`.  Durations are Go style ("5m", "1h30m") or seconds; negative means for ever."""

    host: str = "127.0.0.1:11434"
    models: str = ""  # the store's folder; empty: ~/.ollama/models
    store: str = "ollama"
    keep_alive: str = "5m"
    load_timeout: str = "5m"
    num_parallel: int = 8
    max_queue: int = 512
    max_loaded_models: int = 3
    context_length: int = 0  # default num_ctx; 0: the engine decides by memory
    kv_cache_type: str = "f16"
    kv_cache_type_v: str = ""  # empty: as kv_cache_type
    isolation: str = "thread"
    origins: str = ""  # further allowed CORS origins, comma separated
    go_template: str = ""  # "1" always, "0" never, empty: whichever can do more
    noprune: bool = False
    log_level: str = "info"


class Config(Settings, frozen=True):
    """The whole configuration.  `plugins` maps a plugin's name to its still untyped table."""

    kernel: KernelSettings = KernelSettings()
    plugins: dict[str, dict[str, Any]] = {}


# environment variable → kernel key; where both are set the CORRAL_ one wins
_ENV = {
    "HOST": "host",
    "MODELS": "models",
    "KEEP_ALIVE": "keep_alive",
    "LOAD_TIMEOUT": "load_timeout",
    "NUM_PARALLEL": "num_parallel",
    "MAX_QUEUE": "max_queue",
    "MAX_LOADED_MODELS": "max_loaded_models",
    "CONTEXT_LENGTH": "context_length",
    "KV_CACHE_TYPE": "kv_cache_type",
    "ORIGINS": "origins",
    "GO_TEMPLATE": "go_template",
    "NOPRUNE": "noprune",
    "DEBUG": "log_level",
}


def parse_duration(text: str) -> float:
    """Seconds in a Go duration ("1h30m") or a plain number of seconds.  Raises ValueError in Go's words."""
    stripped = text.strip()
    sign, body = (-1.0, stripped[1:]) if stripped.startswith("-") else (1.0, stripped.removeprefix("+"))
    if body == "0":
        return 0.0
    parts = _DURATION.findall(body)
    if body and "".join(number + unit for number, unit in parts) == body:
        return sign * sum(float(number) * _UNIT_S[unit] for number, unit in parts)
    if re.fullmatch(r"[0-9]*\.?[0-9]+", body):
        raise ValueError(f'time: missing unit in duration "{text}"')
    unknown = re.fullmatch(r"[0-9]*\.?[0-9]+([^0-9.]+).*", body)
    if unknown and unknown[1] not in _UNIT_S:
        raise ValueError(f'time: unknown unit "{unknown[1]}" in duration "{text}"')
    raise ValueError(f'time: invalid duration "{text}"')


def keep_alive_seconds(text: str) -> float:
    """The `keep_alive` setting in seconds: Go duration or integer seconds, inf when negative, 300 when unusable."""
    try:
        seconds = float(text) if re.fullmatch(r"-?[0-9]+", text.strip()) else parse_duration(text)
    except ValueError:
        seconds = 300.0
    return float("inf") if seconds < 0 else seconds


def split_host(text: str) -> tuple[str, str, int, str]:
    """`OLLAMA_HOST` in all its forms → (scheme, host, port, path).  An empty host means all interfaces."""
    text = text.strip().strip("\"'").strip()
    scheme, sep, rest = text.partition("://")
    if not sep:
        scheme, rest, port = "http", text, DEFAULT_PORT
    else:
        port = {"http": 80, "https": 443}.get(scheme, DEFAULT_PORT)
    rest, _, path = rest.partition("/")
    host = rest
    if rest.startswith("["):
        host, _, tail = rest[1:].partition("]")
        explicit = tail.removeprefix(":")
    elif rest.count(":") == 1:
        host, _, explicit = rest.partition(":")
    else:
        explicit = ""
    if explicit.isascii() and explicit.isdigit() and int(explicit) <= 65535:
        port = int(explicit)
    if not rest:
        host = "127.0.0.1"
    return scheme, host, port, ("/" + path.rstrip("/") if path else "")


def load(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """Read `path` (or `$CORRAL_CONFIG`, else `~/.config/corral/corral.toml` when it exists) and the environment.

    Raises ConfigError naming the file and the key.
    """
    environ = os.environ if environ is None else environ
    chosen = path or (Path(environ["CORRAL_CONFIG"]) if environ.get("CORRAL_CONFIG") else None)
    default = Path(environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "corral" / "corral.toml"
    file = chosen or (default if default.is_file() else None)
    tables: dict[str, Any] = {}
    if file is not None:
        try:
            tables = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as err:
            raise ConfigError(f"{file}: {err}") from err
    kernel = tables.setdefault("kernel", {})
    plugins = tables.setdefault("plugins", {})
    try:
        from_env = _from_environment(environ)
        for key, value in from_env.items():
            kernel[key] = value
        for name, table in _plugin_environment(environ).items():
            plugins.setdefault(name, {}).update(table)
        # the environment holds only strings, so its keys alone are converted leniently
        lenient = msgspec.convert(from_env, KernelSettings, strict=False)
        kernel.update({key: getattr(lenient, key) for key in from_env})
        return msgspec.convert(tables, Config)
    except (msgspec.ValidationError, AttributeError, TypeError) as err:
        raise ConfigError(f"{file or 'environment'}: {err}") from err


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for prefix in ("OLLAMA_", "CORRAL_"):
        for name, key in _ENV.items():
            text = environ.get(prefix + name, "").strip().strip("\"'")
            if text:
                values[key] = text
    for key in ("num_parallel", "max_queue", "max_loaded_models", "context_length"):
        if key in values and not values[key].isdecimal():
            del values[key]  # as the reference: an unusable count means the default
    if "noprune" in values:
        values["noprune"] = "0" if values["noprune"] in ("0", "f", "F", "FALSE", "false", "False") else "1"
    if "log_level" in values:
        debug = values["log_level"]
        values["log_level"] = {"2": "trace", "0": "info", "false": "info"}.get(debug, "debug")
    return values


def _plugin_environment(environ: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """`CORRAL_PLUGINS__GGUF__MMAP=0` → {"gguf": {"mmap": "0"}}; converted with the plugin's Config, leniently."""
    tables: dict[str, dict[str, str]] = {}
    for name, text in environ.items():
        parts = name.split("__")
        if len(parts) == 3 and parts[0] == "CORRAL_PLUGINS":
            tables.setdefault(parts[1].lower(), {})[parts[2].lower()] = text
    return tables
