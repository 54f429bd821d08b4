"""Parameters of vision towers and of what joins them to a decoder, counted from their own configurations.

Pure. Each function takes the tower's part of a configuration and what it must know of the decoder; all were held
against the models that the public implementations build. Called by `multimodal`.
"""

from __future__ import annotations

from orchestrator.adapters.imports.fields import Fields
from orchestrator.api.architecture import Component
from runtimes.errors import Invalid


def linear(inward: int, outward: int, *, bias: bool = True) -> int:
    """Parameters of one projection."""
    return inward * outward + (outward if bias else 0)


def tower(parameters: int) -> Component:
    """A vision tower with its projector."""
    return Component(name="vision tower", parameters=parameters)


def _encoder(hidden: int, intermediate: int, *, bias: bool = True, norm_bias: bool = True) -> int:
    """One layer of a plain transformer encoder: four square projections, two more, two norms."""
    return (
        4 * linear(hidden, hidden, bias=bias)
        + linear(hidden, intermediate, bias=bias)
        + linear(intermediate, hidden, bias=bias)
        + 2 * hidden * (2 if norm_bias else 1)
    )


def _gated_encoder(hidden: int, intermediate: int, *, bias: bool) -> int:
    """One layer with a gated feed-forward part and norms without bias."""
    return (
        4 * linear(hidden, hidden, bias=bias)
        + 2 * linear(hidden, intermediate, bias=bias)
        + linear(intermediate, hidden, bias=bias)
        + 2 * hidden
    )


def _merged(v: Fields, hidden: int) -> int:
    return hidden * (v.maybe("spatial_merge_size", most=64) or 2) ** 2


def _patch(v: Fields, default: int) -> int:
    """Numbers of one patch of an image over the frames that are taken together."""
    size = v.whole("patch_size", "spatial_patch_size", default=default, most=1024)
    channels = v.maybe("in_channels", "in_chans", most=1024) or 3
    return channels * (v.maybe("temporal_patch_size", most=64) or 2) * size * size


def qwen2_vl(v: Fields, _hidden: int) -> Component:
    """Qwen2-VL: norms with bias, a merger of two projections."""
    width = v.whole("embed_dim", default=1280)
    depth = v.whole("depth", default=32, most=1000)
    wide = int(width * v.number("mlp_ratio", default=4.0))
    out = v.whole("hidden_size", default=3584)
    merged = _merged(v, width)
    count = _patch(v, 14) * width + depth * _encoder(width, wide)
    return tower(count + 2 * width + linear(merged, merged) + linear(merged, out))


def qwen2_5_vl(v: Fields, _hidden: int) -> Component:
    """Qwen2.5-VL and EXAONE 4.5: a gated feed-forward part with biases; the latter has fewer key-value heads."""
    width = v.whole("hidden_size", default=1280)
    depth = v.whole("depth", default=32, most=1000)
    out = v.whole("out_hidden_size", default=3584)
    merged = _merged(v, width)
    count = _patch(v, 14) * width + depth * _gated_encoder(width, v.whole("intermediate_size", default=3420), bias=True)
    heads, few = v.maybe("num_heads"), v.maybe("num_key_value_heads")
    if heads is not None and few is not None:
        count -= 2 * depth * (width + 1) * (width // heads) * (heads - few)
    return tower(count + width + linear(merged, merged) + linear(merged, out))


def qwen3_vl(v: Fields, _hidden: int) -> Component:
    """Qwen3-VL and Qwen 3.5: learned positions; further mergers where layers are tapped."""
    width = v.whole("hidden_size", default=1152)
    depth = v.whole("depth", default=27, most=1000)
    out = v.whole("out_hidden_size", default=3584)
    merged = _merged(v, width)
    merger = linear(merged, merged) + linear(merged, out)
    count = (_patch(v, 16) + 1) * width + v.whole("num_position_embeddings", default=2304) * width
    count += depth * _encoder(width, v.whole("intermediate_size", default=4304)) + 2 * width + merger
    listed = v.wholes("deepstack_visual_indexes")
    taps = 3 if listed is None else len(listed)
    return tower(count + taps * (2 * merged + merger))


def qwen3_5(v: Fields, hidden: int) -> Component:
    """Qwen 3.5: as Qwen3-VL without taps."""
    return qwen3_vl(v.assuming({"deepstack_visual_indexes": []}), hidden)


def glm4v(v: Fields, _hidden: int) -> Component:
    """GLM-4.1V, 4.5V and 4.6V."""
    width = v.whole("hidden_size", default=1536)
    depth = v.whole("depth", default=24, most=1000)
    out = v.whole("out_hidden_size", default=4096)
    inner = v.whole("intermediate_size", default=13696)
    size = v.whole("image_size", default=336, most=2**16) // v.whole("patch_size", default=14, most=1024)
    v.only("attention_bias", False)
    count = (_patch(v, 14) + 1) * width + size * size * width + 2 * width
    count += depth * _gated_encoder(width, out, bias=False)
    merge = v.maybe("spatial_merge_size", most=64) or 2
    count += linear(width * merge * merge, out)
    return tower(count + out * out + 2 * out + 3 * out * inner)


def intern(v: Fields, hidden: int) -> Component:
    """InternViT with its projector, under the names of both implementations."""
    width = v.whole("hidden_size", default=1024)
    depth = v.layers("num_hidden_layers") if v.has("num_hidden_layers") else 24
    inner = v.whole("intermediate_size", default=4096)
    size = (_side(v, "image_size", 448) // _side(v, "patch_size", 14)) ** 2
    biased = v.flag("qkv_bias", default=False) or v.flag("attention_bias", default=False)
    normed = v.flag("qk_normalization", default=False) or v.flag("use_qk_norm", default=False)
    kind = v.text("norm_type") or "layer_norm"
    v.only("norm_type", "layer_norm", "rms_norm")
    norms = 2 * width * (2 if kind == "layer_norm" else 1)
    layer = 3 * linear(width, width, bias=biased) + linear(width, width) + norms + 2 * width
    layer += linear(width, inner) + linear(inner, width) + (2 * width if normed else 0)
    count = 3 * _side(v, "patch_size", 14) ** 2 * width + width + width + (size + 1) * width + depth * layer
    return tower(count + 2 * 4 * width + linear(4 * width, hidden) + linear(hidden, hidden))


def _side(v: Fields, key: str, default: int) -> int:
    if isinstance(v.raw(key), list | tuple):
        sides = v.wholes(key, length=1, least=1, most=2**16) or [default]
        return sides[0]
    return v.whole(key, default=default, most=2**16)


def moon(v: Fields, hidden: int) -> Component:
    """MoonViT of Kimi-VL and Kimi K2.5, with its projector."""
    width = v.whole("vt_hidden_size", "hidden_size", default=1152)
    inner = v.whole("vt_intermediate_size", "intermediate_size", default=4304)
    depth = v.whole("vt_num_hidden_layers", "num_hidden_layers", default=27, most=1000)
    v.only("mm_projector_type", "patchmerger")
    rows = v.whole("init_pos_emb_height", "pos_emb_height", default=64)
    columns = v.whole("init_pos_emb_width", "pos_emb_width", default=64)
    size = v.whole("patch_size", default=14, most=1024)
    merged = width * _kernel(v)
    count = (3 * size * size + 1) * width + rows * columns * width + depth * _encoder(width, inner) + 2 * width
    return tower(count + 2 * width + linear(merged, merged) + linear(merged, hidden))


def moon3(v: Fields, hidden: int) -> Component:
    """The tower of Kimi K3: no biases, norms of one number each, queries wider than the tower."""
    width, inner = v.whole("vt_hidden_size"), v.whole("vt_intermediate_size")
    for key in ("attn_bias", "linear_bias", "patch_embed_proj_bias"):
        v.only(key, False)
    v.only("mm_projector_type", "patchmergerv2")
    v.only("norm_type", "rmsnorm")
    wide = v.whole("qkv_hidden_size", default=width)
    size = v.whole("patch_size", default=14, most=1024)
    grid = v.whole("init_pos_emb_height", default=64) * v.whole("init_pos_emb_width", default=64)
    depth = v.whole("vt_num_hidden_layers", most=1000)
    merged = width * _kernel(v)
    count = 3 * size * size * width + grid * width + depth * (4 * width * wide + 2 * width * inner + 2 * width)
    return tower(count + 2 * width + merged * merged + merged * hidden)


def _kernel(v: Fields) -> int:
    sides = v.wholes("merge_kernel_size", length=2, least=1, most=64) if v.has("merge_kernel_size") else [2, 2]
    first, second = sides or [2, 2]
    return first * second


def siglip(v: Fields) -> int:
    """SigLIP without its pooling head."""
    width = v.whole("hidden_size", default=768)
    size = v.whole("patch_size", default=16, most=1024)
    side = v.whole("image_size", default=224, most=2**16) // size
    layers = v.whole("num_hidden_layers", default=12, most=1000)
    count = (3 * size * size + 1) * width + side * side * width
    return count + layers * _encoder(width, v.whole("intermediate_size", default=3072)) + 2 * width


def gemma3(v: Fields, hidden: int) -> Component:
    """SigLIP, a norm and one projection. The published checkpoints have no pooling head."""
    width = v.whole("hidden_size", default=768)
    return tower(siglip(v) + width * hidden + width)


def gemma4(v: Fields, hidden: int) -> Component:
    """Gemma 4: four norms in a layer, norms on queries and keys, learned rows and columns."""
    width, inner = v.whole("hidden_size"), v.whole("intermediate_size")
    heads, dim = v.whole("num_attention_heads"), v.whole("head_dim")
    keys = v.whole("num_key_value_heads") * dim
    v.only("attention_bias", False)
    v.only("use_clipped_linears", False)
    size = v.whole("patch_size", most=1024)
    layer = 2 * width * heads * dim + 2 * width * keys + 2 * dim + 3 * width * inner + 4 * width
    count = 3 * size * size * width + 2 * v.whole("position_embedding_size") * width
    return tower(count + v.whole("num_hidden_layers", most=1000) * layer + width * hidden)


def llama4(v: Fields, hidden: int) -> Component:
    """Llama 4: an encoder with a class token, a pixel shuffle, three projections."""
    width, inner = v.whole("hidden_size", default=768), v.whole("intermediate_size", default=5632)
    size, side = v.whole("patch_size", default=14, most=1024), v.whole("image_size", default=448, most=2**16)
    middle, out = v.whole("projector_input_dim", default=4096), v.whole("projector_output_dim", default=4096)
    final = v.whole("vision_output_dim", default=7680)
    layers = v.whole("num_hidden_layers", default=34, most=1000)
    count = width + ((side // size) ** 2 + 1) * width + 3 * size * size * width + 4 * width
    count += layers * _encoder(width, inner)
    return tower(count + inner * middle + middle * out + final * hidden)


def clip(v: Fields) -> int:
    """CLIP with its class token, a norm before its layers and one behind."""
    width, size = v.whole("hidden_size", default=768), v.whole("patch_size", default=32, most=1024)
    tokens = (v.whole("image_size", default=224, most=2**16) // size) ** 2 + 1
    layers = v.whole("num_hidden_layers", default=12, most=1000)
    count = width + 3 * size * size * width + tokens * width + 4 * width
    return count + layers * _encoder(width, v.whole("intermediate_size", default=3072))


def pixtral(v: Fields, hidden: int) -> Component:
    """Pixtral with the merging projector of Mistral Small 3.1."""
    width, merge = v.whole("hidden_size", default=1024), v.whole("spatial_merge_size", default=2, most=64)
    return tower(pixtral_tower(v) + width + width * merge * merge * width + width * hidden + hidden * hidden)


def pixtral_tower(v: Fields) -> int:
    """Pixtral's own layers."""
    width, inner = v.whole("hidden_size", default=1024), v.whole("intermediate_size", default=4096)
    size = v.whole("patch_size", default=16, most=1024)
    heads, dim = v.whole("num_attention_heads", default=16), v.maybe("head_dim")
    if dim is not None and heads * dim != width:
        raise Invalid(f"{v.path('head_dim')} {dim} times {heads} heads is not {v.path('hidden_size')} {width}")
    layers = v.whole("num_hidden_layers", default=24, most=1000)
    return 3 * size * size * width + width + layers * _gated_encoder(width, inner, bias=False)


def idefics3(v: Fields, hidden: int) -> Component:
    """SigLIP and one projection over shuffled pixels: SmolVLM and Idefics 3."""
    width, factor = v.whole("hidden_size", default=1152), v.whole("scale_factor", default=2, most=64)
    g = v.assuming({"num_hidden_layers": 12, "patch_size": 32})
    return tower(siglip(g) + width * factor * factor * hidden)


def minimax_m3(v: Fields, hidden: int) -> Component:
    """MiniMax M3: an encoder, a projector, a merger of patches."""
    width, inner = v.whole("hidden_size", default=1280), v.whole("intermediate_size", default=5120)
    middle = v.whole("projector_hidden_size", default=6144)
    layers = v.whole("num_hidden_layers", default=32, most=1000)
    merged = _merged(v, hidden)
    count = _patch(v, 14) * width + 2 * width + layers * _encoder(width, inner)
    count += linear(width, middle) + linear(middle, hidden)
    return tower(count + linear(merged, middle) + linear(middle, hidden))


def step3p7(v: Fields, hidden: int) -> Component:
    """Step 3.7: scaled layers, two convolutions that halve the picture, one projection."""
    width = v.whole("width", "hidden_size", default=1536)
    depth = v.whole("layers", "num_hidden_layers", default=47, most=1000)
    inner = int(width * v.number("mlp_ratio", default=8960 / 1536))
    size = v.whole("patch_size", default=14, most=1024)
    side = v.whole("image_size", default=728, most=2**16) // size
    count = 3 * size * size * width + side * side * width + 2 * width
    count += depth * (_encoder(width, inner) + 2 * width)
    count += linear(9 * width, 2 * width) + linear(18 * width, 4 * width)
    return tower(count + 4 * width * hidden)


def ernie(v: Fields, hidden: int) -> Component:
    """ERNIE 4.5 VL: an encoder and a resampler over space and time."""
    width = v.whole("embed_dim", "hidden_size", default=1280)
    inner = v.maybe("intermediate_size") or int(width * v.number("mlp_ratio", default=4.0))
    depth = v.whole("depth", default=32, most=1000)
    size = v.whole("patch_size", default=14, most=1024)
    space = _merged(v, width)
    time = space * (v.maybe("temporal_merge_size", most=64) or 2)
    count = 3 * size * size * width + depth * _encoder(width, inner) + 2 * width
    count += linear(space, space) + linear(space, space) + 2 * space
    count += linear(time, space) + linear(space, space) + 2 * space
    return tower(count + linear(space, hidden) + hidden)
