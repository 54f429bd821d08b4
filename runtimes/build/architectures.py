"""The model families that are built, and what each is called outside.

Data and arithmetic on settings only; imports no build tool. Each family here is compared with transformers token by
token in the tests; one that is not is not listed. The builders are in `runtimes.build.families`, the rewriting in
`runtimes.build.equivalents`. Called by both, by `runtimes.build.directory` to refuse early, and by
`runtimes.build.staging`.
"""

from __future__ import annotations

from collections.abc import Mapping

BEFORE_LONG = "original_max_position_embeddings"

# Hugging Face architecture -> class of onnxruntime-genai's model builder
BUILDERS = {
    "LlamaForCausalLM": "LlamaModel",
    "MistralForCausalLM": "MistralModel",
    "Qwen2ForCausalLM": "QwenModel",
    "Qwen3ForCausalLM": "Qwen3Model",
    "GemmaForCausalLM": "GemmaModel",
    "Gemma2ForCausalLM": "Gemma2Model",
    "Gemma3ForCausalLM": "Gemma3Model",
    "Phi3ForCausalLM": "Phi3MiniModel",
    "SmolLM3ForCausalLM": "SmolLM3Model",
    "Ernie4_5ForCausalLM": "ErnieModel",
    "GlmForCausalLM": "ChatGLMModel",
    "GraniteForCausalLM": "GraniteModel",
}

# numbers of a head where `config.json` leaves them out; in all other families the width is divided by the heads
HEAD_DIM = {
    "Qwen3ForCausalLM": 128,
    "GemmaForCausalLM": 256,
    "Gemma2ForCausalLM": 256,
    "Gemma3ForCausalLM": 256,
    "Ernie4_5ForCausalLM": 128,
    "GlmForCausalLM": 128,
}

# families rewritten as one of those above before they are built
WRITTEN_AS = {"MiniCPMForCausalLM": "GraniteForCausalLM", "InternLM2ForCausalLM": "LlamaForCausalLM"}

# architecture of a GGUF file -> Hugging Face architecture; a Mistral or SmolLM file calls itself llama
FROM_GGUF = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}

BUILT = (*BUILDERS, *WRITTEN_AS)


def context_key(settings: Mapping[str, object]) -> str:
    """The key of `config.json` that says how long a text may be.

    Rotary positions of the kind longrope change for every token once a text outgrows the second of the two, also for
    tokens whose keys are kept; so the context ends there.
    """
    scaling = settings.get("rope_scaling")
    if isinstance(scaling, Mapping) and "short_factor" in scaling and settings.get(BEFORE_LONG):
        return BEFORE_LONG
    return "max_position_embeddings"
