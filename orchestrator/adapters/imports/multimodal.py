"""Families that put a vision tower before a decoder: the decoder's own family reads it, the tower is counted beside it.

Pure. Called by `config`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from orchestrator.adapters.imports import towers
from orchestrator.adapters.imports.blocks import SPARSE, Family, Row, attention, decoder, dense
from orchestrator.adapters.imports.dense import glm4, internlm2, llama, ministral3, mistral, phi3, qwen2, qwen3
from orchestrator.adapters.imports.fields import INHERITED, KV_HEADS, Fields, shown
from orchestrator.adapters.imports.gemma import CONTEXT, gemma3_text, gemma4_text
from orchestrator.adapters.imports.hybrid import kimi_linear, qwen3_5, qwen3_5_moe
from orchestrator.adapters.imports.latent import deepseek_v3
from orchestrator.adapters.imports.minimax import minimax_m3
from orchestrator.adapters.imports.moe import glm4v_moe, qwen3_moe
from orchestrator.adapters.imports.windowed import llama4_text, step3p5
from orchestrator.api.architecture import Architecture, Component, Experts
from orchestrator.api.model import Modality
from runtimes.errors import Invalid, Refused

Reader = Callable[[Fields], Architecture]
Tower = Callable[[Fields, int], Component]
SEES: tuple[Modality, ...] = ("text", "image")
WATCHES: tuple[Modality, ...] = ("text", "image", "video")
PARTS = ("text_config", "llm_config", "language_config")


def with_tower(
    f: Fields,
    decode: Reader,
    count: Tower,
    *,
    flat: bool = False,
    outer: tuple[str, ...] = (),
    optional: bool = False,
) -> Architecture:
    """A decoder read by its own family, and its tower.

    Args:
        f: the whole configuration.
        decode: reads the decoder.
        count: counts the tower.
        flat: old configurations have the decoder's keys beside `vision_config`.
        outer: keys of the tower's projector that stand outside `vision_config`.
        optional: there are checkpoints of the decoder alone that keep the wrapper's name.
    """
    text = f if flat and not any(f.has(key) for key in PARTS) else f.inner(*PARTS)
    architecture = decode(text)
    if optional and not f.has("vision_config"):
        f.notes.append("the configuration has no vision_config; the decoder alone is counted, without a vision tower")
        return architecture
    seeing = f.inner("vision_config")
    lent = {key: f.raw(key) for key in outer if f.has(key)}
    beside = count(seeing.assuming_quietly(lent), architecture.hidden_size)
    return architecture.model_copy(update={"beside": (*architecture.beside, beside)})


def chosen(readers: Mapping[str, Reader]) -> Reader:
    """The reader of whatever decoder a wrapper holds."""

    def read(f: Fields) -> Architecture:
        named = f.text("model_type")
        classes = f.raw("architectures")
        found = readers.get(named or "")
        if found is None and isinstance(classes, list | tuple) and classes and isinstance(classes[0], str):
            found = readers.get(classes[0])
        if found is None:
            raise Refused(f"{f.path('model_type')} is {shown(named)}; known decoders here: {', '.join(readers)}")
        return found(f)

    return read


def left_out(read: Reader, assumed: Mapping[str, Any]) -> Reader:
    """A reader of a decoder that its wrapper saves without what equals the wrapper's own class."""
    return lambda f: read(f.left_out(assumed))


def _ministral3(f: Fields) -> Architecture:
    if f.raw(INHERITED) is not True and not f.wrapper_says(INHERITED):
        raise Invalid(f"the configuration has no {INHERITED}, which differs between the sizes of this family")
    return ministral3(f)


def _glm4v_text(f: Fields) -> Architecture:
    return glm4(f if f.has("head_dim") else f.assuming_quietly({"head_dim": None}))


def _ernie_vl(f: Fields) -> Architecture:
    """Two sets of experts in each layer, one for text and one for what is seen; a token meets one of them."""
    f.only("use_bias", False)
    f = f.left_out({KV_HEADS: 4})
    layers = f.layers()
    listed = f.choices("mlp_layer_types", ("dense", SPARSE), length=layers)
    if listed is None:
        first, last = _both(f, "moe_layer_start_index", least=0), _both(f, "moe_layer_end_index", least=-1)
        f.only("moe_layer_interval", 1)
        last = layers - 1 if last < 0 else last
        listed = [SPARSE if first <= i <= last else "dense" for i in range(layers)]
    widths = f.wholes("moe_intermediate_size", length=2, least=1) or [1536, 512]
    routed, hidden = _both(f, "moe_num_experts", least=1), f.whole("hidden_size")
    moe = Experts(
        routed=routed,
        per_token=f.whole("moe_k"),
        intermediate_size=widths[0],
        shared=f.whole("moe_num_shared_experts", least=0),
    )
    second = routed * hidden * (3 * widths[1] + 1)
    sparse = [kind == SPARSE for kind in listed]
    rows = [Row(attention(f), moe if one else dense(f)) for one in sparse]
    seen = Component(name="experts for what is seen", parameters=sum(sparse) * second)
    return decoder(f, rows, tied=True, beside=(seen,))


def _both(f: Fields, key: str, *, least: int) -> int:
    """A number that holds for text and for what is seen, given once or for each."""
    if not isinstance(f.raw(key), list | tuple):
        return f.whole(key, least=least)
    numbers = set(f.wholes(key, length=2, least=least) or [])
    if len(numbers) != 1:
        raise Refused(f"{f.path(key)} differs between text and what is seen; only one number for both is known")
    return numbers.pop()


def wrapped(
    name: str,
    decode: Reader,
    count: Tower,
    types: tuple[str, ...],
    classes: tuple[str, ...],
    *,
    inputs: tuple[Modality, ...] = SEES,
    context: int | None = None,
    **more: Any,
) -> Family:
    """A family of wrappers; further arguments are those of `with_tower`."""
    return Family(name, partial(with_tower, decode=decode, count=count, **more), types, classes, inputs, context)


def _gemma4(f: Fields) -> Architecture:
    if f.has("audio_config"):
        raise Refused(f"{f.path('audio_config')} is given; the audio tower of this family is not known")
    return with_tower(f, gemma4_text, towers.gemma4)


INTERN_DECODERS: dict[str, Reader] = {
    "llama": llama,
    "LlamaForCausalLM": llama,
    "internlm2": internlm2,
    "InternLM2ForCausalLM": internlm2,
    "phi3": phi3,
    "Phi3ForCausalLM": phi3,
    "qwen2": qwen2,
    "Qwen2ForCausalLM": qwen2,
    "qwen3": qwen3,
    "Qwen3ForCausalLM": qwen3,
    "qwen3_moe": qwen3_moe,
    "Qwen3MoeForCausalLM": qwen3_moe,
}

MULTIMODAL_FAMILIES = (
    wrapped(
        "qwen2-vl",
        left_out(qwen2, {KV_HEADS: 8}),
        towers.qwen2_vl,
        ("qwen2_vl",),
        ("Qwen2VLForConditionalGeneration",),
        inputs=WATCHES,
        flat=True,
    ),
    wrapped(
        "qwen2.5-vl",
        left_out(qwen2, {KV_HEADS: 8}),
        towers.qwen2_5_vl,
        ("qwen2_5_vl",),
        ("Qwen2_5_VLForConditionalGeneration",),
        inputs=WATCHES,
        flat=True,
    ),
    wrapped("qwen3-vl", qwen3, towers.qwen3_vl, ("qwen3_vl",), ("Qwen3VLForConditionalGeneration",), inputs=WATCHES),
    wrapped(
        "qwen3-vl-moe",
        left_out(qwen3_moe, {KV_HEADS: 16}),
        towers.qwen3_vl,
        ("qwen3_vl_moe",),
        ("Qwen3VLMoeForConditionalGeneration",),
        inputs=WATCHES,
    ),
    wrapped("qwen3.5", qwen3_5, towers.qwen3_5, ("qwen3_5",), ("Qwen3_5ForConditionalGeneration",), inputs=WATCHES),
    wrapped(
        "qwen3.5-moe",
        qwen3_5_moe,
        towers.qwen3_5,
        ("qwen3_5_moe",),
        ("Qwen3_5MoeForConditionalGeneration",),
        inputs=WATCHES,
    ),
    wrapped(
        "glm4v",
        _glm4v_text,
        towers.glm4v,
        ("glm4v",),
        ("Glm4vForConditionalGeneration",),
        inputs=WATCHES,
        flat=True,
    ),
    wrapped(
        "glm4v-moe",
        glm4v_moe,
        towers.glm4v,
        ("glm4v_moe",),
        ("Glm4vMoeForConditionalGeneration",),
        inputs=WATCHES,
    ),
    wrapped(
        "ernie4.5-vl-moe",
        _ernie_vl,
        towers.ernie,
        ("ernie4_5_vl_moe", "ernie4_5_moe_vl"),
        ("Ernie4_5_VLMoeForConditionalGeneration",),
        inputs=WATCHES,
        flat=True,
    ),
    wrapped(
        "internvl",
        chosen(INTERN_DECODERS),
        towers.intern,
        ("internvl", "internvl_chat"),
        ("InternVLForConditionalGeneration", "InternVLChatModel"),
    ),
    wrapped(
        "kimi-vl",
        deepseek_v3,
        towers.moon,
        ("kimi_vl", "kimi_k25"),
        ("KimiVLForConditionalGeneration", "KimiK25ForConditionalGeneration", "Kimi_K25ForConditionalGeneration"),
    ),
    wrapped("kimi-k3", kimi_linear, towers.moon3, ("kimi_k3",), ("KimiK3ForConditionalGeneration",)),
    wrapped(
        "gemma3",
        gemma3_text,
        towers.gemma3,
        ("gemma3",),
        ("Gemma3ForConditionalGeneration",),
        context=CONTEXT,
        optional=True,
    ),
    Family("gemma4", _gemma4, ("gemma4",), ("Gemma4ForConditionalGeneration",), SEES),
    wrapped("llama4", llama4_text, towers.llama4, ("llama4",), ("Llama4ForConditionalGeneration",), optional=True),
    wrapped(
        "mistral3",
        chosen({"mistral": mistral, "ministral3": _ministral3}),
        towers.pixtral,
        ("mistral3",),
        ("Mistral3ForConditionalGeneration",),
        outer=("spatial_merge_size",),
    ),
    wrapped(
        "smolvlm",
        chosen({"llama": llama, "VLlama3ForCausalLM": llama}),
        towers.idefics3,
        ("smolvlm", "idefics3"),
        ("SmolVLMForConditionalGeneration", "Idefics3ForConditionalGeneration"),
        outer=("scale_factor",),
    ),
    wrapped(
        "minimax-m3-vl",
        minimax_m3,
        towers.minimax_m3,
        ("minimax_m3_vl",),
        ("MiniMaxM3SparseForConditionalGeneration",),
        outer=("projector_hidden_size",),
    ),
    wrapped(
        "step3.7",
        step3p5,
        towers.step3p7,
        ("step3p7",),
        ("Step3p7ForConditionalGeneration",),
        outer=("projector_bias",),
    ),
)
