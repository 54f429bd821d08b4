"""The model families that are built, and what each is called outside.

Data only; imports no build tool. Each family here is exported both ways in the tests and compared. Called by
`runtimes.build.sources` to refuse early and by `runtimes.build.fuse` to build.
"""

from __future__ import annotations

# Hugging Face architecture -> class of onnxruntime-genai's model builder
BUILDERS = {
    "LlamaForCausalLM": "LlamaModel",
    "MistralForCausalLM": "MistralModel",
    "Qwen2ForCausalLM": "QwenModel",
    "Qwen3ForCausalLM": "Qwen3Model",
}
