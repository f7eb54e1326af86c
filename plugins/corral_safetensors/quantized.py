"""Which tensors of a checkpoint belong together: a quantized weight, its scales and its code book become one."""

import json

from corral import FormatError, Unsupported
from corral_safetensors.checkpoint import Tensors, read_all
from corral_safetensors.documents import Fields
from corral_safetensors.header import StoredTensor
from corral_safetensors.rows import Plain, Rows, four_bit, int8, scaled_f8

_METHODS = ("bitsandbytes", "fp8")
_STATE = ".quant_state.bitsandbytes__"
_PARTS = ("absmax", "quant_map", "nested_absmax", "nested_quant_map")
_NOTHING = ("input_scale", "activation_scale", "output_scale")  # how activations were quantized: not needed here
_TILE = 128
_DTYPES = {"float16": "F16", "bfloat16": "BF16", "float32": "F32"}


def gather(tensors: Tensors, config: Fields) -> dict[str, Rows]:
    """Every weight by name; parts of quantized ones are gone.  Raises FormatError, Unsupported naming the method."""
    quantization = config.child("quantization_config")
    method = quantization.text("quant_method", default="bitsandbytes" if quantization.values else "")
    if method and method not in _METHODS:
        raise Unsupported(f"{config.file}: weights quantized with {method!r:.40} cannot be converted")
    left = dict(tensors)
    found: dict[str, Rows] = {}
    for step in (_take_four_bit, _take_int8, _take_f8):
        found |= step(left, config)
    found |= {name: Plain(tensor) for name, tensor in left.items() if not _is_noise(tensor)}
    return {name: found[name] for name in sorted(found)}


def _is_noise(tensor: StoredTensor) -> bool:
    """Tables of positions and masks, which some checkpoints hold though they follow from the configuration."""
    last = tensor.name.rpartition(".")[2]
    return last in (*_NOTHING, "inv_freq", "position_ids", "masked_bias", "weight_format")


def _take_four_bit(left: dict[str, StoredTensor], config: Fields) -> dict[str, Rows]:
    found: dict[str, Rows] = {}
    for state_name in [name for name in left if _STATE in name]:
        name, _, kind = state_name.partition(_STATE)
        state = left.pop(state_name)
        if kind not in ("nf4", "fp4") or name not in left:
            raise state.wrong("it says how a weight is quantized that is not there, or in a way that is not known")
        parts = {part: left.pop(f"{name}.{part}") for part in _PARTS if f"{name}.{part}" in left}
        if not parts:
            raise left[name].wrong("its absmax is missing")
        found[name] = four_bit(left.pop(name), parts, _state(state))
    return found


def _state(tensor: StoredTensor) -> Fields:
    try:
        value = json.loads(read_all(tensor).tobytes())
    except (ValueError, RecursionError) as err:
        raise tensor.wrong(f"not valid JSON: {err}") from err
    if not isinstance(value, dict):
        raise tensor.wrong("expected a JSON object")
    return Fields(f"{tensor.file}: {tensor.name}", value)


def _take_int8(left: dict[str, StoredTensor], config: Fields) -> dict[str, Rows]:
    found: dict[str, Rows] = {}
    dtype = _DTYPES.get(config.text("dtype", "torch_dtype"), "F16")
    for scale_name in [name for name in left if name.endswith(".SCB")]:
        module = scale_name.removesuffix(".SCB")
        scale, weight = left.pop(scale_name), left.pop(f"{module}.weight", None)
        if weight is None:
            raise scale.wrong("it scales a weight that is not there")
        found[weight.name] = int8(weight, scale, left.pop(f"{module}.weight_format", None), dtype)
    return found


def _take_f8(left: dict[str, StoredTensor], config: Fields) -> dict[str, Rows]:
    found: dict[str, Rows] = {}
    block = _block(config.child("quantization_config"))
    for suffix in ("_scale_inv", "_scale"):
        for scale_name in [name for name in left if name.endswith(f".weight{suffix}")]:
            scale, weight = left.pop(scale_name), left.pop(scale_name.removesuffix(suffix), None)
            if weight is None:
                raise scale.wrong("it scales a weight that is not there")
            if not weight.dtype.startswith("F8_"):
                raise weight.wrong(f"it has a scale, but is of type {weight.dtype}")
            found[weight.name] = scaled_f8(weight, scale, block)
    return found


def _block(quantization: Fields) -> tuple[int, int]:
    sizes = quantization.numbers("weight_block_size") or [_TILE, _TILE]
    if len(sizes) != 2 or min(sizes) < 1:
        raise FormatError(f"{quantization.file}: 'weight_block_size' must be two numbers above 0")
    return int(sizes[0]), int(sizes[1])
