"""Compile an `Architecture` and a model's hyper-parameters into a `Program`: the one builder for every family."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from corral import FormatError, ModelInfo, TensorInfo
from corral_engine.architecture import Architecture
from corral_engine.hyperparameters import Hyperparameters, RopeScaling, read_hyperparameters
from corral_engine.program import (
    Activate,
    Add,
    Attention,
    Buffer,
    CacheLayout,
    Embed,
    Linear,
    Norm,
    Op,
    Program,
    Rope,
    SelectRows,
    Softcap,
    StoreKV,
    Weight,
)
from corral_engine.rope import Frequencies, frequencies, longrope_magnitude

ReadVector = Callable[[str], Sequence[float]]


class Builder:
    """Collects the operations of one model.  Raises FormatError naming the key or tensor at fault."""

    def __init__(self, architecture: Architecture, info: ModelInfo, read_vector: ReadVector, context: int) -> None:
        self.arch, self.info = architecture, info
        self.hyper = read_hyperparameters(info, architecture.norm)
        self.read_vector = read_vector
        self.context = context or self.hyper.context_length
        self.tensors: dict[str, TensorInfo] = {tensor.name: tensor for tensor in info.tensors}
        self.ops: list[Op] = []
        width = self.hyper.hidden_size
        self.x, self.normed, self.branch = Buffer("x", width), Buffer("normed", width), Buffer("branch", width)
        self.causal = architecture.causal and self.hyper.causal
        self._check()

    def _check(self) -> None:
        hyper = self.hyper
        if self.arch.rope_whole_head and (hyper.rope_dims != hyper.head_dim or hyper.value_dim != hyper.head_dim):
            raise FormatError(
                f"invalid hyper-parameter {self.info.architecture}.rope.dimension_count = {hyper.rope_dims}: "
                f"keys, values and rotation must all have the head's {hyper.head_dim} dimensions"
            )

    # --- tensors --------------------------------------------------------------------------------------------------

    def has(self, name: str) -> bool:
        return self._name(name) in self.tensors

    def _name(self, name: str) -> str:
        """`blk.3.attn_norm.weight` → the file's spelling, by the architecture's `tensor_names`."""
        for ours, theirs in self.arch.tensor_names.items():
            if name == f"{ours}.weight" or name.endswith((f".{ours}.weight", f".{ours}.bias")):
                return name.replace(ours, theirs)
        return name

    def weight(self, name: str, *shape: int) -> Weight:
        """The tensor of that name, which must have this shape (-1: any)."""
        tensor = self.tensors.get(self._name(name))
        if tensor is None:
            raise FormatError(f"tensor {self._name(name)} is missing")
        if len(tensor.shape) != len(shape) or any(w not in (-1, s) for w, s in zip(shape, tensor.shape, strict=True)):
            raise FormatError(f"tensor {tensor.name} has shape {tensor.shape}, expected {shape}")
        return Weight(tensor.name, tensor.type, tensor.shape)

    def optional(self, name: str, *shape: int) -> Weight | None:
        return self.weight(name, *shape) if self.has(name) else None

    # --- operations -----------------------------------------------------------------------------------------------

    def norm(self, name: str, x: Buffer, out: Buffer, group: int = 0) -> None:
        width = group or x.width
        weight = self.weight(f"{name}.weight", width)
        bias = self.optional(f"{name}.bias", width)
        self.ops.append(Norm(self.arch.norm, x, out, weight, self.hyper.norm_eps, bias, group))

    def linear(self, name: str, x: Buffer, out: Buffer, *, add: bool = False, scale: float = 1.0) -> None:
        weight = self.weight(f"{name}.weight", out.width, x.width)
        self.ops.append(Linear(weight, x, out, self.optional(f"{name}.bias", out.width), add, scale))

    def embed(self) -> int:
        """Token embeddings into x; the number of rows of the table."""
        table = self.weight("token_embd.weight", -1, self.hyper.hidden_size)
        scale = self.hyper.embedding_scale or self.arch.embedding_scale(self.hyper)
        self.ops.append(Embed(table, self.x, scale))
        if self.arch.token_types and self.has("token_types.weight"):
            types = self.weight("token_types.weight", -1, self.hyper.hidden_size)
            self.ops.append(Embed(types, self.x, by="zero", add=True))
        if self.arch.position_table:
            positions = self.weight("position_embd.weight", -1, self.hyper.hidden_size)
            if positions.shape[0] < self.hyper.context_length:
                raise FormatError(
                    f"tensor position_embd.weight has {positions.shape[0]} rows for "
                    f"{self.info.architecture}.context_length = {self.hyper.context_length}"
                )
            self.ops.append(Embed(positions, self.x, by="position", add=True))
        if self.arch.embedding_norm:
            self.norm("token_embd_norm", self.x, self.x)
        return table.shape[0]

    def window(self, layer: int) -> int:
        """The sliding window of a layer in tokens, 0 when it sees everything."""
        hyper = self.hyper
        size = hyper.window or self.arch.window
        period = hyper.window_period or self.arch.window_period
        if not self.arch.window_period or not size:
            return 0
        sliding = hyper.window_layers[layer] if hyper.window_layers else layer % period < period - 1
        return size if sliding else 0

    def rope(self, layer: int) -> Frequencies | None:
        """The rotation of a layer, None when it has none."""
        hyper = self.hyper
        if self.arch.rope == "none" or not self.arch.rope_layers(layer) or not hyper.rope_dims:
            return None
        if self.arch.window_rope_theta is not None and self.window(layer):
            theta = hyper.rope_theta_window or self.arch.window_rope_theta
            return frequencies(theta, hyper.rope_dims, RopeScaling())
        scaling, factors = hyper.rope_scaling, self._rope_factors()
        if scaling.kind == "longrope" and scaling.attention_factor == 1.0:
            magnitude = longrope_magnitude(hyper.context_length, scaling.original_context)
            scaling = RopeScaling(
                kind="longrope", original_context=scaling.original_context, attention_factor=magnitude
            )
        return frequencies(hyper.rope_theta, hyper.rope_dims, scaling, factors)

    def _rope_factors(self) -> Sequence[float]:
        name = "rope_freqs.weight"
        if not self.has(name):
            longer = self.context > self.hyper.rope_scaling.original_context
            name = "rope_factors_long.weight" if longer else "rope_factors_short.weight"
        if not self.has(name):
            return ()
        weight = self.weight(name, self.hyper.rope_dims // 2)
        factors = self.read_vector(weight.name)
        if not all(0 < factor < float("inf") for factor in factors):
            raise FormatError(f"tensor {weight.name} holds a factor that is not a finite number above 0")
        return factors

    def attention(self, layer: int, source: Buffer) -> Buffer:
        """Queries, keys, values of `source` → the concatenated heads."""
        hyper, prefix = self.hyper, f"blk.{layer}"
        heads, kv_heads = hyper.n_heads[layer], hyper.n_kv_heads[layer]
        widths = heads * hyper.head_dim, kv_heads * hyper.head_dim, kv_heads * hyper.value_dim
        qkv = Buffer(f"qkv_{sum(widths)}", sum(widths))
        q, k = qkv.view(0, widths[0]), qkv.view(widths[0], widths[1])
        v = qkv.view(widths[0] + widths[1], widths[2])
        if self.has(f"{prefix}.attn_qkv.weight"):
            self.linear(f"{prefix}.attn_qkv", source, qkv)
        else:
            for name, out in (("attn_q", q), ("attn_k", k), ("attn_v", v)):
                self.linear(f"{prefix}.{name}", source, out)
        if self.arch.qk_norm != "none":
            group = hyper.head_dim if self.arch.qk_norm == "head" else 0
            self.norm(f"{prefix}.attn_q_norm", q, q, group)
            self.norm(f"{prefix}.attn_k_norm", k, k, group)
        turn = self.rope(layer)
        if turn is not None and self.arch.rope != "none":
            for part in (q, k):
                self.ops.append(
                    Rope(self.arch.rope, part, hyper.head_dim, hyper.rope_dims, turn.inv_freq, turn.magnitude)
                )
        self.ops.append(StoreKV(layer, k, v, kv_heads))
        out = Buffer(f"heads_{heads * hyper.value_dim}", heads * hyper.value_dim)
        cap = hyper.attention_softcap if hyper.attention_softcap is not None else self.arch.attention_softcap
        scale = hyper.attention_scale or self.arch.attention_scale(hyper)
        self.ops.append(
            Attention(layer, q, out, heads, kv_heads, hyper.head_dim, hyper.value_dim, scale,
                      self.causal, self.window(layer), cap)
        )  # fmt: skip
        return out

    def feed_forward(self, layer: int, source: Buffer) -> Buffer:
        """gate and up projections and the activation of `source` → what goes into ffn_down."""
        size, prefix = self.hyper.ffn_sizes[layer], f"blk.{layer}"
        act = Buffer(f"act_{size}", size)
        if self.arch.ffn == "plain":
            up = Buffer(f"up_{size}", size)
            self.linear(f"{prefix}.ffn_up", source, up)
            self.ops.append(Activate(self.arch.activation, up, None, act))
            return act
        both = Buffer(f"gate_up_{size}", 2 * size)
        gate, up = both.view(0, size), both.view(size, size)
        if self.arch.ffn == "fused":
            self.linear(f"{prefix}.ffn_up", source, both)
        else:
            self.linear(f"{prefix}.ffn_gate", source, gate)
            self.linear(f"{prefix}.ffn_up", source, up)
        self.ops.append(Activate(self.arch.activation, gate, up, act))
        return act

    def residual(self, name: str, x: Buffer, post_norm: str | None) -> None:
        """x += projection, through a norm of its own when the skeleton has one."""
        scale = self.hyper.residual_scale or 1.0
        if post_norm is None:
            self.linear(name, x, self.x, add=True, scale=scale)
            return
        self.linear(name, x, self.branch)
        self.norm(post_norm, self.branch, self.branch)
        self.ops.append(Add(self.x, self.branch, self.x, scale))

    def layer(self, i: int) -> None:
        """One block, by skeleton."""
        prefix, skeleton = f"blk.{i}", self.arch.skeleton
        norms_branch = skeleton in ("sandwich", "post")
        norms_input = skeleton in ("pre", "sandwich", "parallel")
        after_attention = f"{prefix}.post_attention_norm" if norms_branch else None
        after_ffn = f"{prefix}.post_ffw_norm" if norms_branch else None
        if norms_input:
            self.norm(f"{prefix}.attn_norm", self.x, self.normed)
        heads = self.attention(i, self.normed if norms_input else self.x)
        if skeleton == "parallel":
            if self.has(f"{prefix}.ffn_norm.weight"):
                self.norm(f"{prefix}.ffn_norm", self.x, self.normed)
            act = self.feed_forward(i, self.normed)
            self.residual(f"{prefix}.attn_output", heads, None)
            self.residual(f"{prefix}.ffn_down", act, None)
            return
        self.residual(f"{prefix}.attn_output", heads, after_attention)
        if skeleton == "bert":
            self.norm(f"{prefix}.attn_output_norm", self.x, self.x)
        elif norms_input:
            self.norm(f"{prefix}.ffn_norm", self.x, self.normed)
        act = self.feed_forward(i, self.normed if norms_input else self.x)
        self.residual(f"{prefix}.ffn_down", act, after_ffn)
        if skeleton == "bert":
            self.norm(f"{prefix}.layer_output_norm", self.x, self.x)

    def finish(self, vocab_size: int) -> Program:
        """The last norm and the logits."""
        hyper = self.hyper
        hidden = selected = Buffer("selected", hyper.hidden_size)
        self.ops.append(SelectRows(self.x, selected))
        if self.arch.output_norm:
            hidden = Buffer("hidden", hyper.hidden_size)
            self.norm("output_norm", selected, hidden)
        output = hidden
        if self.arch.head:
            output = Buffer("logits", vocab_size)
            self.linear("output" if self.has("output.weight") else "token_embd", hidden, output)
            cap = hyper.final_softcap if hyper.final_softcap is not None else self.arch.final_softcap
            scale = hyper.logit_scale or 1.0
            if self.arch.logit_scale == "divide":
                scale = 1 / scale
            if cap or scale != 1:
                self.ops.append(Softcap(output, cap, scale))
        layouts = tuple(CacheLayout(heads, hyper.head_dim, hyper.value_dim) for heads in hyper.n_kv_heads)
        return Program(tuple(self.ops), output, hidden, layouts, vocab_size, hyper.hidden_size, self.causal)


def build(
    architecture: Architecture, info: ModelInfo, read_vector: ReadVector, context: int = 0
) -> tuple[Program, Hyperparameters]:
    """Compile one model.

    `read_vector` reads a small float tensor (rope factors); `context` is the longest context that will be used (0: the
    trained one), which decides between longrope's factors.

    Raises FormatError naming the key or tensor at fault, Unsupported.
    """
    if info.architecture != architecture.name:
        architecture = replace(architecture, name=info.architecture)
    builder = Builder(architecture, info, read_vector, context)
    vocab_size = builder.embed()
    for layer in range(builder.hyper.n_layers):
        builder.layer(layer)
    program = builder.finish(vocab_size)
    return program, builder.hyper
