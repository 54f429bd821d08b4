"""How the weights of a configuration are stored: its quantization and the layout of its files.

Pure. Called by `config`. What is not known is noted, not guessed.
"""

from __future__ import annotations

from orchestrator.adapters.imports.fields import Fields, shown
from orchestrator.api.quantization import Format, Quantization

WIDE: dict[str, Quantization] = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
BY_ALGORITHM: dict[str, Quantization] = {
    "FP8": "fp8",
    "NVFP4": "nvfp4",
    "MXFP8": "mxfp8",
    "MXFP4": "mxfp4",
    "W4A8_AWQ": "w4a8",
    "W4A16_AWQ": "w4a16",
    "INT8_SQ": "w8a8",
}
BY_BITS: dict[int, Quantization] = {2: "w2a16", 4: "w4a16", 8: "w8a16"}
LAYOUTS: dict[str, Format] = {"awq": "awq", "gptq": "gptq", "auto-round": "autoround", "auto_round": "autoround"}
ATTENTION_WORDS = ("self_attn", "shared_expert")
ACTING: dict[int, Quantization] = {4: "w4a8", 8: "w8a8"}
SHORT, BYTE = 4, 8
NVFP4_GROUP, KIMI_GROUP = 16, 32
MOST_IGNORED = 1000


def stored(f: Fields, text: Fields) -> tuple[Quantization | None, Format]:
    """Quantization and layout.

    Args:
        f: the whole configuration.
        text: its decoder's part, or the same.
    """
    for one in (f, text):
        q = one.part("quantization_config")
        if q is not None:
            return _quantized(q, f, text)
    for one in (f, text):
        for key in ("dtype", "torch_dtype"):
            named = one.raw(key)
            if isinstance(named, str) and named.removeprefix("torch.") in WIDE:
                return WIDE[named.removeprefix("torch.")], "plain"
    f.notes.append("the configuration does not say how its weights are stored")
    return None, "plain"


def _quantized(q: Fields, f: Fields, text: Fields) -> tuple[Quantization | None, Format]:
    named = q.raw("quant_method")
    method = named.lower() if isinstance(named, str) else ""
    algorithm = q.raw("quant_algo")
    found: tuple[Quantization | None, Format] | None = None
    if method.startswith("modelopt") or (isinstance(algorithm, str) and q.has("producer")):
        found = _modelopt(q, algorithm), "modelopt"
    elif method in {"fp8", "fbgemm_fp8"}:
        fine = (q.raw("expert_dtype") or f.raw("expert_dtype") or text.raw("expert_dtype")) == "fp4"
        found = ("mxfp4-experts-fp8" if fine else "fp8"), "fp8"
    elif method == "mxfp4":
        found = "mxfp4-experts", "mxfp4"
    elif method == "compressed-tensors":
        found = _compressed(q), "compressed-tensors"
    elif method in LAYOUTS:
        bits = q.raw("bits")
        found = (BY_BITS.get(bits) if isinstance(bits, int) else None), LAYOUTS[method]
    if found is None or found[0] is None:
        q.notes.append(f"{q.path('quant_method')} {shown(named)} is not known in detail")
    return found or (None, "plain")


def _modelopt(q: Fields, algorithm: object) -> Quantization | None:
    if isinstance(algorithm, str) and algorithm in BY_ALGORITHM:
        return BY_ALGORITHM[algorithm]
    if q.raw("moe_quant_algo") == "NVFP4":
        return "nvfp4"
    return None


def _compressed(q: Fields) -> Quantization | None:
    groups = q.part("config_groups")
    kinds = {_of_group(q, group) for group in groups.parts()} if groups is not None else set()
    if len(kinds) > 1:
        q.notes.append(f"{q.path('config_groups')} stores parts of the weights in different kinds")
    return kinds.pop() if len(kinds) == 1 else None


def _of_group(q: Fields, first: Fields) -> Quantization | None:
    weights = first.part("weights")
    if weights is None:
        return None
    bits, group = weights.raw("num_bits"), weights.raw("group_size")
    bits = bits if isinstance(bits, int) else 0
    only_experts = _leaves_attention(q.raw("ignore"))
    if weights.raw("type") == "float":
        fine: Quantization = "nvfp4" if group == NVFP4_GROUP else "mxfp4-experts" if only_experts else "mxfp4"
        return {BYTE: BY_ALGORITHM["FP8"], SHORT: fine}.get(bits)
    if weights.raw("type") != "int":
        return None
    acting = first.part("input_activations")
    if acting is not None:
        return ACTING.get(bits) if acting.raw("num_bits") == BYTE else None
    if bits == SHORT and group == KIMI_GROUP and only_experts:
        return "int4-experts"
    return BY_BITS.get(bits)


def _leaves_attention(ignored: object) -> bool:
    """Whether what is not quantized names attention and shared experts: then only routed experts are."""
    if not isinstance(ignored, list | tuple):
        return False
    texts = [one for one in ignored[:MOST_IGNORED] if isinstance(one, str)]
    return all(any(word in text for text in texts) for word in ATTENTION_WORDS)
