"""Laws of every loader.  Subclass `LoaderContract` in a test module and supply its two fixtures."""

import random
from contextlib import suppress
from pathlib import Path

import pytest

from corral.errors import FormatError
from corral.protocols import Loader, Weights

_MAX_CUTS = 6000  # every prefix of a small file; an even sample of a larger one
_N_MUTATIONS = 500


class LoaderContract:
    """A subclass supplies `loader` and `model_path`.

    `model_path` is a small valid file with at least one tensor, whose last byte belongs to a tensor (no padding after
    it), so that every shorter file is broken.  A loader of folders overrides `damaged`.
    """

    @pytest.fixture
    def loader(self) -> Loader:
        raise NotImplementedError("supply the loader under test")

    @pytest.fixture
    def model_path(self, tmp_path: Path) -> Path:
        raise NotImplementedError("supply a small valid file")

    def damaged(self, model_path: Path, folder: Path, content: bytes) -> Path:
        """A model like `model_path` in `folder`, whose main file holds `content`."""
        path = folder / model_path.name
        path.write_bytes(content)
        return path

    def test_the_name_is_a_word(self, loader: Loader) -> None:
        assert loader.name.isidentifier()

    def test_sniff_knows_its_own_format(self, loader: Loader, model_path: Path) -> None:
        with model_path.open("rb") as file:
            assert loader.sniff(file.read(64))

    def test_sniff_never_raises(self, loader: Loader, model_path: Path) -> None:
        head = model_path.read_bytes()[:64]
        random_bytes = random.Random(1).randbytes
        for content in [head[:size] for size in range(65)] + [random_bytes(size) for size in range(65)]:
            assert loader.sniff(content) in (True, False)

    def test_every_truncation_is_a_format_error(self, loader: Loader, model_path: Path, tmp_path: Path) -> None:
        content = model_path.read_bytes()
        folder = tmp_path / "cut"
        folder.mkdir()
        for size in range(0, len(content), -(-len(content) // _MAX_CUTS)):
            path = self.damaged(model_path, folder, content[:size])
            with pytest.raises(FormatError):
                _use_everything(loader.open(path))

    def test_a_changed_byte_is_a_format_error_or_harmless(
        self, loader: Loader, model_path: Path, tmp_path: Path
    ) -> None:
        content = model_path.read_bytes()
        folder = tmp_path / "changed"
        folder.mkdir()
        chance = random.Random(2)
        for _ in range(_N_MUTATIONS):
            changed = bytearray(content)
            for _ in range(chance.choice((1, 1, 2, 8))):
                changed[chance.randrange(len(changed))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            path = self.damaged(model_path, folder, bytes(changed))
            with suppress(FormatError):
                _use_everything(loader.open(path))

    def test_a_missing_file_is_a_format_error(self, loader: Loader, tmp_path: Path) -> None:
        with pytest.raises(FormatError):
            loader.open(tmp_path / "missing.bin")

    def test_tensors_are_read_only_views_of_the_declared_size(self, loader: Loader, model_path: Path) -> None:
        weights = loader.open(model_path)
        assert weights.path == model_path
        assert weights.info.tensors
        for info in weights.info.tensors:
            first, second = weights.tensor(info.name), weights.tensor(info.name)
            assert first.info == info
            assert isinstance(first.data, memoryview)
            assert first.data.readonly
            assert first.data.nbytes == info.size_bytes
            assert first.data == second.data
        weights.close()

    def test_tensor_names_are_unique(self, loader: Loader, model_path: Path) -> None:
        weights = loader.open(model_path)
        names = [tensor.name for tensor in weights.info.tensors]
        assert len(names) == len(set(names))
        weights.close()

    def test_an_unknown_tensor_is_a_format_error_naming_it(self, loader: Loader, model_path: Path) -> None:
        weights = loader.open(model_path)
        with pytest.raises(FormatError, match="no such tensor anywhere"):
            weights.tensor("no such tensor anywhere")
        weights.close()

    def test_close_ends_the_views_and_may_be_repeated(self, loader: Loader, model_path: Path) -> None:
        weights = loader.open(model_path)
        view = weights.tensor(weights.info.tensors[0].name).data
        weights.close()
        weights.close()
        with pytest.raises(ValueError, match="released"):
            bytes(view)

    def test_info_outlives_the_file(self, loader: Loader, model_path: Path) -> None:
        weights = loader.open(model_path)
        weights.close()
        for value in weights.info.metadata.values():
            assert repr(value)
            if hasattr(value, "__len__"):
                assert len(list(value)) == len(value)


def _use_everything(weights: Weights) -> None:
    """Touch all that a user of the file may touch."""
    try:
        for info in weights.info.tensors:
            bytes(weights.tensor(info.name).data[-1:])
        weights.vocab()
    finally:
        weights.close()
