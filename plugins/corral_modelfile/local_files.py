"""On the user's side: which local files a Modelfile's FROM, ADAPTER and DRAFT mean, and what they are called."""

import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from corral import BadRequest, Value
from corral_modelfile import sniffing
from corral_modelfile.modelfile import Modelfile

_NO_MODEL = "no Modelfile or safetensors files found"
_MOST_NAMES = 8  # in a message
_TOKENIZER = "tokenizer.model"
# Weights in a folder: the first row whose patterns match, and whose matches all look right, is taken.
_ROWS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("model*.safetensors", "*/model*.safetensors"), ""),
    (("consolidated*.safetensors",), ""),
    (("pytorch_model*.bin",), sniffing.ZIP),
    (("consolidated*.pth",), sniffing.ZIP),
    (("*.gguf",), sniffing.BINARY),
    (("*.bin",), sniffing.BINARY),
)
_ADAPTER_ROW = (("adapter_model*.safetensors", "adapters*.safetensors"), "")
_COMPANIONS = ("*.json", "*/*.json", "chat_template.jinja", "vocab.txt", "merges.txt")
_PATHS = ("./", "../", "/", "~", ".\\", "..\\", "\\")  # no model's name begins so
_LONE = ("*.gguf", "*.bin")  # files that hold everything: nothing beside them belongs to the model


class LocalFiles(Value, frozen=True):
    """Names as the request has them → local paths.  `base` is a FROM that names a model, not a path."""

    base: str = ""
    files: Mapping[str, Path] = {}
    draft_files: Mapping[str, Path] = {}
    adapters: Mapping[str, Path] = {}


def files_for(modelfile: Modelfile, folder: Path) -> LocalFiles:
    """Resolve the paths of a Modelfile that lies in `folder`.

    Raises BadRequest for a FROM that can only be a path and leads nowhere; in the reference's words for no weights, a
    link out of a folder, DRAFT the same as FROM.
    """
    base, files, roots = "", dict[str, Path](), set[Path]()
    for text in modelfile.values("from"):
        path = expand(text, folder)
        if not _exists(path):
            if text.startswith(_PATHS):
                raise BadRequest(f"FROM {text}: the file {path} does not exist")
            base = text
            continue
        roots.add(path.resolve())
        _merge(files, _named(_files_at(path)))
    drafts: dict[str, Path] = {}
    for text in modelfile.values("draft"):
        path = _required(expand(text, folder))
        if path.resolve() in roots:
            raise BadRequest(f"DRAFT must not reference the same local path as FROM: {path}")
        _merge(drafts, _named(_files_at(path)))
    paths = [
        path
        for text in modelfile.values("adapter")
        for path in _files_at(_required(expand(text, folder)), adapter=True)
    ]
    return LocalFiles(base=base, files=files, draft_files=drafts, adapters=_named(paths) if paths else {})


def expand(text: str, folder: Path) -> Path:
    """An absolute path: `~` and `~user` are homes, relative ones start at `folder`.  Raises BadRequest."""
    if text.startswith(("/", "\\")):
        return Path(os.path.normpath(text))
    if text.startswith("~"):
        user, _, rest = text[1:].partition("/")
        return Path(os.path.normpath(_home(user) / rest))
    return Path(os.path.normpath(folder.absolute() / text))


def _home(user: str) -> Path:
    if sys.platform == "win32":
        return Path(f"~{user}").expanduser()
    import pwd

    try:
        return Path((pwd.getpwnam(user) if user else pwd.getpwuid(os.getuid())).pw_dir)
    except KeyError as err:
        raise BadRequest(f"failed to find user '{user}': user: unknown user {user}") from err


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as err:
        raise BadRequest(f"{path}: {err}") from err
    return True


def _required(path: Path) -> Path:
    if not _exists(path):
        raise BadRequest(f"stat {path}: no such file or directory")
    return path


def _merge(into: dict[str, Path], more: Mapping[str, Path]) -> None:
    for name, path in more.items():
        if into.setdefault(name, path).resolve() != path.resolve():
            raise BadRequest(f"two files are named {name}: {into[name]} and {path}")


def _named(paths: Iterable[Path]) -> dict[str, Path]:
    """One file by its base name, several relative to the deepest folder they share, `/` between the parts."""
    unique = list(dict.fromkeys(paths))
    if len(unique) == 1:
        return {unique[0].name: unique[0]}
    shared = os.path.commonpath([path.parent for path in unique])
    return {path.relative_to(shared).as_posix(): path for path in unique}


def _files_at(path: Path, *, adapter: bool = False) -> list[Path]:
    try:
        found = _folder_files(path, adapter=adapter) if path.is_dir() else [path]
        for each in found:
            if not each.is_file():  # reading a pipe would wait for ever
                raise BadRequest(f"{each}: not a regular file")
    except OSError as err:
        raise BadRequest(f"{err.filename or path}: {err.strerror}") from err
    return found


def _folder_files(folder: Path, *, adapter: bool) -> list[Path]:
    """The weights and all that belongs to them."""
    for patterns, kind in (*_ROWS, _ADAPTER_ROW) if adapter else _ROWS:
        weights = [path for pattern in patterns for path in _inside(folder, pattern)]
        homes = sorted({path.parent.name for path in weights if (path.parent / "config.json").is_file()})
        if len(homes) > 1 and all(path.parent != folder for path in weights):
            raise BadRequest(f"{folder} has no weights of its own, but several models, in {_listed(homes)}: name one")
        if weights and (not kind or all(sniffing.content_type(path) == kind for path in weights)):
            return weights if patterns[0] in _LONE else weights + _companions(folder)
    raise BadRequest(f"{_NO_MODEL}: {_what_is_there(folder, adapter=adapter)}")


def _what_is_there(folder: Path, *, adapter: bool) -> str:
    """What was looked for in a folder without weights, and what it holds instead."""
    rows = (*_ROWS, _ADAPTER_ROW) if adapter else _ROWS
    wanted = ", ".join(patterns[0] for patterns, _ in rows)
    inner = [path.name for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    models = [name for name in inner if any(any((folder / name).glob(patterns[0])) for patterns, _ in rows)]
    if models:
        return f"{folder} has no weights of its own, but there are some in {_listed(models)}: name that folder"
    entries = [path.name + "/" * path.is_dir() for path in sorted(folder.iterdir())]
    return f"{folder} holds {_listed(entries) or 'nothing'}, and none of {wanted}"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_MOST_NAMES]) + (
        f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    )


def _companions(folder: Path) -> list[Path]:
    """Configuration, tokenizer and chat template."""
    texts = [path for pattern in _COMPANIONS for path in _inside(folder, pattern)]
    for path in texts:
        _require(sniffing.is_text(path), path)
    tokenizers = _inside(folder, _TOKENIZER)
    for path in tokenizers:
        _require(sniffing.content_type(path) == sniffing.BINARY, path)
    nested = [path for path in _inside(folder, f"*/{_TOKENIZER}") if sniffing.is_text(path)]
    return texts + tokenizers + nested


def _require(condition: bool, path: Path) -> None:
    if not condition:
        raise BadRequest(f"invalid content type: expected {sniffing.content_type(path)} for {path}")


def _inside(folder: Path, pattern: str) -> list[Path]:
    """The files that match, none of which may be a link that leads out of the folder."""
    found = []
    for path in sorted(
        path for path in folder.glob(pattern) if not re.search(r"(^|/)\.", str(path.relative_to(folder)))
    ):
        real = path.resolve(strict=True)
        if not real.is_relative_to(folder.resolve()):
            relative = os.path.relpath(real, folder)
            hint = (
                f"\n\nUse --local-dir {folder} when downloading model to disable caching"
                if ".cache" in relative
                else ""
            )
            raise BadRequest(f"insecure path: {relative}{hint}")
        found.append(path)
    return found
