"""The checkpoints of `tests/fixtures` as files by name."""

from pathlib import Path

CHECKPOINTS = Path(__file__).parents[2] / "fixtures" / "checkpoints"

Files = dict[str, Path]


def files_of(*folders: Path) -> Files:
    """All files in the folders, named from there; of equal names the first counts."""
    found: Files = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                found.setdefault(path.relative_to(folder).as_posix(), path)
    return found


def checkpoint(name: str) -> Files:
    """The files of one; quantized copies share the Llama's tokenizer."""
    if name in ("nf4", "fp4", "int8"):
        whole = files_of(CHECKPOINTS / name, CHECKPOINTS / "llama")
        return {key: path for key, path in whole.items() if "-of-" not in key and not key.endswith("index.json")}
    return files_of(CHECKPOINTS / name)
