"""What `corral doctor` says about the store."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from corral_cli.hookspecs import Finding
from corral_store.store import OllamaStore

if TYPE_CHECKING:
    from corral.kernel import Kernel


class StoreCheck:
    """Every blob and manifest, read whole."""

    name = "store"

    def __init__(self, store: OllamaStore) -> None:
        self.store = store

    async def examine(self, kernel: "Kernel") -> Sequence[Finding]:
        """How many models there are, and each fault.  Raises CorralError."""
        if kernel.config.kernel.store != self.store.name:
            return []
        faults = await self.store.doctor()
        models = self.store.list()
        fact = f"{len(models)} models in {self.store.root}"
        values = {"models": len(models), "root": str(self.store.root), "faults": len(faults)}
        return [
            Finding(fact=fact, values=values),
            *(
                Finding(fact=f"{fault.path.name}: {fault.fault}", state="broken", advice=fault.advice)
                for fault in faults
            ),
        ]
