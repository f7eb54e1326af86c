"""BERT encoders, as sentence-transformers publishes them: MiniLM, bge, e5 and others."""

from corral import Unsupported
from corral_safetensors.documents import Fields
from corral_safetensors.family import Family, Keys


def keys(config: Fields) -> Keys:
    positions = config.text("position_embedding_type", default="absolute")
    if positions != "absolute":
        raise Unsupported(f"{config.file}: position_embedding_type {positions!r:.40} cannot be converted")
    return {
        "vocab_size": config.integer("vocab_size", low=1),
        "context_length": config.integer("max_position_embeddings", low=1),
        "embedding_length": config.integer("hidden_size", low=1),
        "block_count": config.integer("num_hidden_layers", low=1),
        "feed_forward_length": config.integer("intermediate_size", low=1),
        "attention.head_count": config.integer("num_attention_heads", low=1),
        "attention.layer_norm_epsilon": config.number("layer_norm_eps", default=1e-12),
        "attention.causal": False,
    }


BERT = Family(
    architecture="bert",
    classes=("BertModel", "BertForMaskedLM", "BertForPreTraining"),
    keys=keys,
    top={
        "embeddings.word_embeddings": "token_embd",
        "embeddings.position_embeddings": "position_embd",
        "embeddings.token_type_embeddings": "token_types",
        "embeddings.LayerNorm": "token_embd_norm",
    },
    layer={
        "attention.self.query": "attn_q",
        "attention.self.key": "attn_k",
        "attention.self.value": "attn_v",
        "attention.output.dense": "attn_output",
        "attention.output.LayerNorm": "attn_output_norm",
        "intermediate.dense": "ffn_up",
        "output.dense": "ffn_down",
        "output.LayerNorm": "layer_output_norm",
    },
    layers="encoder.layer",
    skipped=("pooler.", "cls."),
    activations=("gelu", "gelu_python"),
)
