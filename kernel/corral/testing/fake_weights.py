"""A weight format for tests: the four bytes "FAKE" and a JSON object that says what the model claims to be."""

from pathlib import Path
from typing import Any

import msgspec

from corral import FormatError, ModelInfo, Tensor, TensorInfo, Vocab

MAGIC = b"FAKE"


class FakeHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What a fake file may say."""

    architecture: str = "fake"
    context_length: int = 256
    embedding_length: int = 2
    parameter_count: int = 1000
    add_bos: bool = False
    add_eos: bool = False
    capabilities: tuple[str, ...] = ("completion",)
    embeds: bool = True
    vocabulary_only: bool = False
    metadata: dict[str, Any] = {}


def fake_weights(**fields: Any) -> bytes:
    """The bytes of a fake weight file; `fields` are FakeHeader's."""
    return MAGIC + msgspec.json.encode(FakeHeader(**fields))


class FakeLoader:
    """The loader "fake"."""

    name = "fake"

    def sniff(self, head: bytes) -> bool:
        """Whether the magic is there."""
        return head.startswith(MAGIC)

    def open(self, path: Path) -> "FakeWeights":
        """Raises FormatError when the JSON is not a FakeHeader."""
        try:
            return FakeWeights(path, msgspec.json.decode(path.read_bytes()[len(MAGIC) :], type=FakeHeader))
        except msgspec.DecodeError as err:
            raise FormatError(f"{path.name}: {err}") from err


class FakeWeights:
    """One 2 x 2 tensor of zeros, unless the file is a vocabulary only."""

    def __init__(self, path: Path, header: FakeHeader) -> None:
        self.path, self.header, self.closed = path, header, False
        own = {
            "general.architecture": header.architecture,
            "general.name": "Fake",
            f"{header.architecture}.context_length": header.context_length,
            "tokenizer.ggml.tokens": ("a", "b"),
            "capabilities": header.capabilities,
            "embeds": header.embeds,
        }
        tensors = (TensorInfo(name="token_embd.weight", type="F32", shape=(2, 3), size_bytes=24),)
        self.info = ModelInfo(
            architecture=header.architecture,
            metadata=own | header.metadata,
            tensors=() if header.vocabulary_only else tensors,
            parameter_count=header.parameter_count,
            quantization="F32",
            context_length=header.context_length,
            embedding_length=header.embedding_length,
        )

    def vocab(self) -> Vocab:
        """One token a byte."""
        return Vocab(model="bytes", add_bos=self.header.add_bos, add_eos=self.header.add_eos)

    def tensor(self, name: str) -> Tensor:
        """Raises FormatError for any other name than the one there is."""
        for info in self.info.tensors:
            if info.name == name:
                return Tensor(info=info, data=memoryview(bytes(info.size_bytes)))
        raise FormatError(f"{self.path.name} has no tensor {name!r}")

    def close(self) -> None:
        """Nothing is mapped."""
        self.closed = True
