"""The hook this plugin offers: further families of models."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from corral import hookspec

if TYPE_CHECKING:
    from corral_safetensors.family import Family


class Hooks:
    """Offered by corral_safetensors."""

    @hookspec
    def corral_safetensors_families(self) -> Iterable["Family"]:
        """Further families, as `corral_safetensors.family.Family` descriptions.

        Asked on a worker thread when a checkpoint is converted; of two families with one class, the later wins.
        """
        raise NotImplementedError
