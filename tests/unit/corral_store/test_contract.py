"""The store keeps the laws of every store."""

from pathlib import Path

import pytest

from corral import Store
from corral.testing.store_contract import StoreContract
from corral_store.store import OllamaStore


class TestOllamaStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        store = OllamaStore()
        store.open(tmp_path / "models")
        return store
