"""Settings: struct defaults, then corral.toml, then the environment, then the command line; later wins."""

import os
import re
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec

from corral.errors import ConfigError
from corral.types import Settings

Count = Annotated[int, msgspec.Meta(ge=0, description="a number, 0 or more")]
_SPAN, _SPANS = r"^[-+]?([0-9]+|([0-9]*\.?[0-9]+(ns|us|µs|ms|s|m|h))+)$", 'like "5m" or "1h30m", or a number of seconds'
Duration = Annotated[str, msgspec.Meta(pattern=_SPAN, description=_SPANS)]
UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class KernelSettings(Settings, frozen=True):
    """The table `[kernel]`.  A negative duration means for ever."""

    host: str = "127.0.0.1:11434"
    models: str = ""  # the store's folder; empty: ~/.ollama/models
    store: str = "ollama"
    keep_alive: Duration = "5m"
    load_timeout: Duration = "5m"
    num_parallel: Count = 8
    max_queue: Count = 512
    max_loaded_models: Count = 3
    context_length: Count = 0  # default num_ctx; 0: the engine decides by memory
    kv_cache_type: Literal["f16", "f32", "q8_0"] = "f16"
    kv_cache_type_v: Literal["", "f16", "f32", "q8_0"] = ""  # empty: as kv_cache_type
    isolation: Literal["thread", "process"] = "thread"
    origins: str = ""  # further allowed CORS origins, comma separated
    go_template: Literal["", "0", "1"] = ""  # "1" always, "0" never, empty: whichever can do more
    noprune: bool = False
    log_level: Literal["trace", "debug", "info", "warning", "error"] = "info"


class Config(Settings, frozen=True):
    """The whole configuration.  `plugins` maps a plugin's name to its still untyped table."""

    kernel: KernelSettings = KernelSettings()
    plugins: dict[str, dict[str, Any]] = {}


# what the environment may set: the key in capitals after OLLAMA_ or CORRAL_; where both are set the CORRAL_ one wins
_COUNTS = ("num_parallel", "max_queue", "max_loaded_models", "context_length")
_TEXTS = ("host", "models", "keep_alive", "load_timeout", "kv_cache_type", "origins", "go_template", "noprune")
_ENV = {**{key.upper(): key for key in (*_COUNTS, *_TEXTS)}, "DEBUG": "log_level"}


def duration_s(text: str) -> float:
    """Seconds in a Duration: Go style ("1h30m") or a plain number of seconds, either with a sign."""
    parts = re.findall(r"([0-9.]+)([a-zµ]+)", text)
    seconds = sum(float(number) * UNIT_S[unit] for number, unit in parts) if parts else abs(float(text))
    return -seconds if text.strip().startswith("-") else seconds


def load(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """Read `path` (or `$CORRAL_CONFIG`, else `~/.config/corral/corral.toml` when it exists) and the environment.
    Raises ConfigError naming the file and the key."""
    environ = os.environ if environ is None else environ
    chosen = path or (Path(environ["CORRAL_CONFIG"]) if environ.get("CORRAL_CONFIG") else None)
    default = Path(environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "corral" / "corral.toml"
    file = chosen or (default if default.is_file() else None)
    tables: dict[str, Any] = {}
    if file is not None:
        try:
            tables = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as err:
            raise ConfigError(f"{file}: {getattr(err, 'strerror', None) or err}") from err
    typed(tables.get("kernel", {}), KernelSettings, f"{file}: [kernel]")
    typed(tables, Config, str(file))
    tables.setdefault("kernel", {}).update(_from_environment(environ))
    for name, table in _plugin_environment(environ).items():
        tables.setdefault("plugins", {}).setdefault(name, {}).update(table)
    return msgspec.convert(tables, Config)


def typed(table: Any, cls: Any, where: str, *, strict: bool = True) -> Any:
    """`table` as `cls`.  Raises ConfigError: where, what is wrong, what is allowed or was likely meant."""
    try:
        return msgspec.convert(table, cls, strict=strict)
    except msgspec.ValidationError as err:
        unknown, at = re.search(r"unknown field `(.*)`", str(err)), re.search(r"^(?!Object).*`\$\.(\w+)`", str(err))
        near = get_close_matches(unknown[1], cls.__struct_fields__, 1) if unknown else []
        allowed = get_args(cls.__annotations__.get(at[1])) if at else ()
        must = " or ".join(getattr(a, "description", repr(a)) for a in allowed if isinstance(a, msgspec.Meta | str))
        said = f"{at[1]} = {table[at[1]]!r}: it must be {must}" if at and must else str(err)
        raise ConfigError(f"{where}: {said}{f': did you mean {near[0]!r}?' if near else ''}") from err


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    named = [(key, prefix + name) for prefix in ("OLLAMA_", "CORRAL_") for name, key in _ENV.items()]
    values = {key: text for key, name in named if (text := environ.get(name, "").strip().strip("\"'"))}
    for key in {"noprune", "go_template"} & set(values):
        values[key] = "0" if values[key] in ("0", "f", "F", "FALSE", "false", "False") else "1"
    if "log_level" in values:
        values["log_level"] = {"2": "trace", "0": "info", "false": "info"}.get(values["log_level"], "debug")
    usable: dict[str, Any] = {}
    for key, text in values.items():
        with suppress(msgspec.ValidationError):  # as the reference: an unusable value is as if it were not set
            usable[key] = getattr(msgspec.convert({key: text}, KernelSettings, strict=False), key)
    return usable


def _plugin_environment(environ: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """`CORRAL_PLUGINS__GGUF__MMAP=0` → {"gguf": {"mmap": "0"}}; converted with the plugin's Config, leniently."""
    tables: dict[str, dict[str, str]] = {}
    for name, text in environ.items():
        parts = name.split("__")
        if len(parts) == 3 and parts[0] == "CORRAL_PLUGINS":
            tables.setdefault(parts[1].lower(), {})[parts[2].lower()] = text
    return tables
