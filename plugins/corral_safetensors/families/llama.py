"""Llama 2 to 3.2, Mistral, SmolLM 2: checkpoints rotate halves of a head, GGUF files hold the rows as pairs."""

from corral_safetensors.documents import Fields
from corral_safetensors.family import Family, Keys
from corral_safetensors.hyperparameters import decoder, head_dim, llama3_factors


def keys(config: Fields) -> Keys:
    return decoder(config) | {"rope.dimension_count": head_dim(config)}


LLAMA = Family(
    architecture="llama",
    classes=("LlamaForCausalLM", "LLaMAForCausalLM", "MistralForCausalLM", "LlamaModel", "MistralModel"),
    keys=keys,
    permuted={"attn_q": "attention.head_count", "attn_k": "attention.head_count_kv"},
    tensors=llama3_factors,
)
