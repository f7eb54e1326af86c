"""What shape each tensor must have, from the hyper-parameters: a file whose tensors do not fit is refused at once."""

from corral_safetensors.family import EMBEDDING, Family, Keys


def expected_shapes(family: Family, keys: Keys) -> dict[str, tuple[int, ...]]:
    """Shapes by the name without its block; -1 is any size."""
    width, hidden = keys["embedding_length"], keys["feed_forward_length"]
    n_heads = keys["attention.head_count"]
    n_kv_heads = keys.get("attention.head_count_kv", n_heads)
    head = keys.get("attention.key_length", width // n_heads)
    queries, others = n_heads * head, n_kv_heads * head
    up = 2 * hidden if family.fused_gate else hidden
    shapes = {
        f"{EMBEDDING}.weight": (-1, width),
        "output.weight": (-1, width),
        "position_embd.weight": (keys["context_length"], width),
        "token_types.weight": (-1, width),
        "attn_q_norm.weight": (head,),
        "attn_k_norm.weight": (head,),
    }
    matrices = {
        "attn_q": (queries, width),
        "attn_k": (others, width),
        "attn_v": (others, width),
        "attn_qkv": (queries + 2 * others, width),
        "attn_output": (width, queries),
        "ffn_gate": (hidden, width),
        "ffn_up": (up, width),
        "ffn_down": (width, hidden),
    }
    for name, shape in matrices.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return shapes


def expected_shape(shapes: dict[str, tuple[int, ...]], name: str, width: int) -> tuple[int, ...]:
    """The shape for a full name; what is in no table is a norm, as wide as the model."""
    return shapes.get(".".join(name.split(".")[-2:]), (width,))


def fits(shape: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    return len(shape) == len(expected) and all(want in (-1, size) for size, want in zip(shape, expected, strict=True))
