"""Two more families with a vision tower: LLaVA with CLIP or Pixtral's tower, and EXAONE 4.5.

Pure. Their wrappers are saved without what equals the classes of their parts; what is assumed for it is noted.
"""

from __future__ import annotations

from orchestrator.adapters.imports.blocks import Family
from orchestrator.adapters.imports.dense import exaone4, llama, mistral
from orchestrator.adapters.imports.fields import KV_HEADS, Fields, shown
from orchestrator.adapters.imports.multimodal import SEES, WATCHES, chosen, left_out, with_tower, wrapped
from orchestrator.adapters.imports.towers import clip, linear, pixtral_tower, qwen2_5_vl, tower
from orchestrator.api.architecture import Architecture, Component
from runtimes.errors import Refused

LLAMA = {
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 32000,
}
MISTRAL = {**LLAMA, "intermediate_size": 14336, KV_HEADS: 8}


def _llava(f: Fields) -> Architecture:
    read = chosen({"llama": left_out(llama, LLAMA), "mistral": left_out(mistral, MISTRAL)})
    return with_tower(f, read, _llava_tower, outer=("vision_feature_layer", "multimodal_projector_bias"))


def _llava_tower(v: Fields, hidden: int) -> Component:
    """A tower and two projections; where several of its layers are tapped, they lie side by side."""
    kinds = {"clip_vision_model": (clip, 768), "pixtral": (pixtral_tower, 1024)}
    named = v.text("model_type") or ""
    if named not in kinds:
        raise Refused(f"{v.path('model_type')} is {shown(named)}; known towers here: {', '.join(kinds)}")
    count, usual = kinds[named]
    bias = v.flag("multimodal_projector_bias", default=True)
    tapped = v.wholes("vision_feature_layer", least=-1000) if isinstance(v.raw("vision_feature_layer"), list) else None
    width = v.whole("hidden_size", default=usual) * len(tapped or [0])
    return tower(count(v) + linear(width, hidden, bias=bias) + linear(hidden, hidden, bias=bias))


WRAPPED_FAMILIES = (
    Family("llava", _llava, ("llava",), ("LlavaForConditionalGeneration",), SEES),
    wrapped(
        "exaone4.5",
        left_out(exaone4, {KV_HEADS: 32}),
        qwen2_5_vl,
        ("exaone4_5",),
        ("Exaone4_5_ForConditionalGeneration",),
        inputs=WATCHES,
    ),
)
