"""From a tensor's name in a checkpoint to its name in a GGUF file."""

import re

from corral import FormatError
from corral_safetensors.family import Family

_WRAPPERS = re.compile(r"^(?:(?:model|language_model|text_model|bert)\.)+")
_OLD_NORMS = {"gamma": "weight", "beta": "bias"}
_MAX_LAYERS = 4096
_NUMBER = re.compile(r"[0-9]{1,9}")


class Names:
    """The names of one family's model with `n_layers` blocks."""

    def __init__(self, family: Family, n_layers: int) -> None:
        self._family, self._n_layers = family, n_layers
        self._left_out = family.skipped + family.vision
        if n_layers > _MAX_LAYERS:
            raise FormatError(f"config.json: {n_layers} layers are more than a model can have")

    def module(self, path: str) -> str:
        """`model.layers.3.self_attn.q_proj` → `blk.3.attn_q`; empty for what the architecture does not have.

        Raises FormatError for a module that has no place in it.
        """
        inner = _WRAPPERS.sub("", path)
        if inner in self._family.top:
            return self._family.top[inner]
        if inner.startswith(self._left_out) or (inner == "lm_head" and not self._family.has_head):
            return ""
        number, _, rest = inner.removeprefix(f"{self._family.layers}.").partition(".")
        stem = self._family.layer.get(rest)
        if inner.startswith(f"{self._family.layers}.") and _NUMBER.fullmatch(number) and stem:
            if int(number) >= self._n_layers:
                raise FormatError(f"it belongs to layer {number}, but there are {self._n_layers} layers")
            return f"blk.{int(number)}.{stem}"
        raise FormatError(f"the architecture {self._family.architecture} has no place for it")

    def tensor(self, name: str) -> str:
        """`….q_proj.weight` → `….attn_q.weight`; see `module`."""
        path, _, kind = name.rpartition(".")
        if _WRAPPERS.sub("", name).startswith(self._left_out):
            return ""
        module = self.module(path)
        kind = _OLD_NORMS.get(kind, kind)
        if kind not in ("weight", "bias"):
            raise FormatError(f"the architecture {self._family.architecture} has no place for it")
        return f"{module}.{kind}" if module else ""


def sees(family: Family, name: str) -> bool:
    """Whether a tensor belongs to the part of a model that looks at images."""
    return _WRAPPERS.sub("", name).startswith(family.vision)


def stem_of(name: str) -> str:
    """`blk.3.attn_q.weight` → `attn_q`, `output_norm.weight` → `output_norm`."""
    return name.split(".")[-2]
