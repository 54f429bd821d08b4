"""What a checkpoint's tensors stand for: packed weights at their true shape, without scales and zero points.

Two packed 4-bit numbers in a byte, eight in an int32: the shapes of the scales beside them say how many, and where they
do not, the configuration must. Pure. Called by `orchestrator.adapters.imports.tensors` and by the card, which
holds the count against the dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from orchestrator.adapters.imports.bounded import shown
from orchestrator.adapters.imports.safetensors import Tensor
from orchestrator.errors import Refused

Shape = tuple[int, ...]
EIGHT_BITS = frozenset({"I8", "U8", "F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F8_E8M0"})
COUNTERS = frozenset({"BOOL", "I16", "U16", "I32", "U32", "I64", "U64"})  # tables and positions, never weights
FP4_BLOCKS = (16, 32)  # weights that share one scale: nvfp4, mxfp4
WORD_BITS, NIBBLES = 32, 2
LIKELY_BITS = range(2, 9)

# Ends of names: scales and zero points of any scheme.
SCALES = (
    *(f"{sign}{name}" for sign in "._" for name in ("weight_scale", "weight_scale_inv", "weight_scale_2", "scale_inv")),
    *(f".weight_{name}" for name in ("global_scale", "offset", "zero_point", "shape", "g_idx", "packed_scale")),
    *(f".input_{name}" for name in ("scale", "global_scale", "amax", "offset", "zero_point")),
    *(f"proj_{name}" for name in ("scale", "scales", "scale_2", "input_scale")),
    *(f".weight.{name}" for name in ("absmax", "quant_map", "nested_absmax", "nested_quant_map")),
    *(".deq_scale", ".quant_bias", ".g_idx", ".qzeros", ".SCB", ".activation_scale", ".kv_cache_scale"),
    *(".k_scale", ".v_scale", ".q_scale"),
)
QUANT_STATE = ".weight.quant_state."
# Ends of names that are stored and no parameters: frequencies, masks, corrections of a router.
BUFFERS = (".inv_freq", ".masked_bias", ".attn.bias", "e_score_correction_bias", ".expert_bias")
DROPPED = SCALES + BUFFERS
PERHAPS = (".scales", ".biases", ".scale", "_scales")  # scales where packed weights stand beside them
WIDE = frozenset({"BF16", "F16", "F32", "F64", "F8_E4M3", "F8_E5M2"})  # one number a weight


class Weight(NamedTuple):
    """One weight at its true shape."""

    name: str
    shape: Shape


def weights(tensors: Iterable[Tensor], config: Mapping[str, Any]) -> list[Weight]:
    """The weights of a checkpoint, without what only serves to unpack them.

    Args:
        tensors: as the files declare them.
        config: its configuration; read where shapes do not say how many bits a weight has.

    Raises:
        Refused: packed weights whose number of bits nothing says.
    """
    by_name = {tensor.name: tensor for tensor in tensors}
    found = []
    for name, tensor in by_name.items():
        if name.endswith(DROPPED) or QUANT_STATE in name or (name.endswith(PERHAPS) and _is_scale(name, by_name)):
            continue
        if tensor.dtype in WIDE:
            found.append(Weight(name, tensor.shape))
        elif (shape := _true_shape(tensor, by_name, config)) is not None:
            found.append(Weight(_plain_name(name), shape))
    return found


def _is_scale(name: str, by_name: Mapping[str, Tensor]) -> bool:
    """Names that are scales beside packed weights and learned parameters elsewhere."""
    stem, _, last = name.rpartition(".")
    if last in ("scales", "biases"):
        return f"{stem}.scales" in by_name and (f"{stem}.weight" in by_name or f"{stem}.qweight" in by_name)
    if last == "scale":
        beside = by_name.get(f"{stem}.weight")
        return beside is not None and beside.dtype in EIGHT_BITS
    return name.endswith("_scales") and f"{name.removesuffix('_scales')}_blocks" in by_name


def _plain_name(name: str) -> str:
    for packed, plain in ((".qweight", ".weight"), (".weight_packed", ".weight"), ("_blocks", "")):
        if name.endswith(packed):
            return name.removesuffix(packed) + plain
    return name


def _true_shape(tensor: Tensor, by_name: Mapping[str, Tensor], config: Mapping[str, Any]) -> Shape | None:
    """The shape of the weights; None for a tensor that holds none."""
    name, shape = tensor.name, tensor.shape
    if name.endswith("_blocks") and tensor.dtype == "U8" and f"{name.removesuffix('_blocks')}_scales" in by_name:
        return (*shape[:-2], math.prod(shape[-2:]) * NIBBLES)  # blocks of 16 bytes with two weights each
    if name.endswith(".qweight"):
        return _gptq_or_awq(tensor, by_name, config)
    packed = name.endswith(".weight_packed") or (
        tensor.dtype == "U32" and f"{name.removesuffix('.weight')}.scales" in by_name
    )
    if packed and tensor.dtype != "U8":
        return (*shape[:-1], shape[-1] * WORD_BITS // _bits(config, name)) if shape else None
    if tensor.dtype in ("U8", "I8") and f"{name}.absmax" in by_name:
        return (math.prod(shape) * NIBBLES,)
    if packed or _is_fp4(tensor, by_name):
        return (*shape[:-1], shape[-1] * NIBBLES) if shape else None
    return None if tensor.dtype in COUNTERS else shape


def _is_fp4(tensor: Tensor, by_name: Mapping[str, Tensor]) -> bool:
    """Whether a byte holds two weights: then one 8-bit scale stands beside every block of 16 or 32 of them."""
    if tensor.dtype not in ("U8", "I8"):
        return False
    stem = tensor.name.removesuffix(".weight")
    for suffix in (".weight_scale", ".scale", "_scale", ".weight_scale_inv"):
        scale = by_name.get(stem + suffix)
        if scale is not None and scale.dtype in EIGHT_BITS and scale.shape and tensor.shape:
            return any(scale.shape[-1] * block == tensor.shape[-1] * NIBBLES for block in FP4_BLOCKS)
    return False


def _gptq_or_awq(tensor: Tensor, by_name: Mapping[str, Tensor], config: Mapping[str, Any]) -> Shape:
    """AWQ packs along the output, GPTQ along the input; the scales are as wide as the output."""
    stem, shape = tensor.name.removesuffix(".qweight"), tensor.shape
    scales, zeros = by_name.get(f"{stem}.scales"), by_name.get(f"{stem}.qzeros")
    if scales is None or len(scales.shape) != 2 or len(shape) != 2 or 0 in (*scales.shape, *shape):  # noqa: PLR2004
        raise Refused(f"{shown(tensor.name)} is packed, and no scales beside it say how")
    wide = scales.shape[1]
    if wide != shape[1]:
        return (shape[0], wide)
    if zeros is not None and len(zeros.shape) == 2 and zeros.shape[1] and wide % zeros.shape[1] == 0:  # noqa: PLR2004
        bits = WORD_BITS * zeros.shape[1] // wide
        if bits in LIKELY_BITS:
            return (shape[0] * WORD_BITS // bits, wide)
    return (shape[0] * WORD_BITS // _bits(config, tensor.name), wide)


def _bits(config: Mapping[str, Any], name: str) -> int:
    """Bits of a weight, as the configuration says."""
    said: list[Any] = []
    for key in ("quantization_config", "quantization"):
        quantization = config.get(key)
        if isinstance(quantization, Mapping):
            said += [quantization.get("bits"), quantization.get("w_bit")]
            groups = quantization.get("config_groups")
            for group in groups.values() if isinstance(groups, Mapping) else ():
                inside = group.get("weights") if isinstance(group, Mapping) else None
                said.append(inside.get("num_bits") if isinstance(inside, Mapping) else None)
    bits = {value for value in said if isinstance(value, int) and not isinstance(value, bool) and value in LIKELY_BITS}
    if len(bits) != 1:
        how = (
            "nothing says how many bits a weight has" if not bits else "the configuration names several numbers of bits"
        )
        raise Refused(f"{shown(name)} is packed, and {how}; give config.json with quantization_config")
    return bits.pop()
