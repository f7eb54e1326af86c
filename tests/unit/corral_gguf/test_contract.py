"""Our loader keeps the laws of every loader."""

from pathlib import Path

import pytest

from corral import Loader
from corral.testing.loader_contract import LoaderContract
from corral_gguf.loader import GgufLoader


class TestMapped(LoaderContract):
    @pytest.fixture
    def loader(self) -> Loader:
        return GgufLoader()

    @pytest.fixture
    def model_path(self, tiny_path: Path) -> Path:
        return tiny_path


class TestRead(LoaderContract):
    @pytest.fixture
    def loader(self) -> Loader:
        return GgufLoader(use_mmap=False)

    @pytest.fixture
    def model_path(self, tiny_path: Path) -> Path:
        return tiny_path
