"""The head of a reranker: from the hidden state of the first token to one score a label.

BertForSequenceClassification: score = W_out · tanh(W x + b) + b_out; either of the two layers may be missing.
"""

from dataclasses import dataclass

import numpy as np

from corral import FormatError, Weights
from corral_engine.dequantize import dequantize
from corral_engine.program import Float32


@dataclass(frozen=True, slots=True)
class RankHead:
    """`dense` (E, E) and `out` (labels, E) with their biases; None where the file has none."""

    dense: Float32 | None
    dense_bias: Float32 | None
    out: Float32 | None
    out_bias: Float32 | None

    def __call__(self, state: Float32) -> Float32:
        """Hidden state (E,) → scores (labels,), as the model's logits."""
        x = state
        if self.dense is not None:
            x = np.tanh(_affine(self.dense, self.dense_bias, x))
        return x if self.out is None else _affine(self.out, self.out_bias, x)


def _affine(weight: Float32, bias: Float32 | None, x: Float32) -> Float32:
    product: Float32 = weight @ x
    return product if bias is None else product + bias


def read_head(weights: Weights, hidden_size: int) -> RankHead:
    """The head's tensors as float32.  Raises FormatError when there is none, or one has another width."""
    parts = {name: _read(weights, f"cls.{name}") for name in ("weight", "bias", "output.weight", "output.bias")}
    head = RankHead(parts["weight"], parts["bias"], parts["output.weight"], parts["output.bias"])
    if head.dense is None and head.out is None:
        raise FormatError(f"{weights.path.name} pools by rank and has neither cls.weight nor cls.output.weight")
    for weight, bias in ((head.dense, head.dense_bias), (head.out, head.out_bias)):
        if weight is not None and (weight.ndim != 2 or weight.shape[1] != hidden_size):
            raise FormatError(f"{weights.path.name}: a matrix of cls has shape {weight.shape}, not (…, {hidden_size})")
        if weight is not None and bias is not None and bias.shape != weight.shape[:1]:
            raise FormatError(f"{weights.path.name}: a bias of cls has shape {bias.shape} beside {weight.shape}")
    return head


def _read(weights: Weights, name: str) -> Float32 | None:
    if all(info.name != name for info in weights.info.tensors):
        return None
    tensor = weights.tensor(name)
    data = np.frombuffer(tensor.data, np.uint8)
    rows = dequantize(data, tensor.info.type, tensor.info.shape[-1])
    return np.asarray(rows, np.float32).reshape(tensor.info.shape)
