"""Names of quantizations and of checkpoint formats. What each costs in memory is `orchestrator.core.memory`."""

from __future__ import annotations

from typing import Literal

Quantization = Literal[
    "fp32",
    "bf16",
    "fp16",
    "fp8",  # blocks of 128 x 128, or one scale per channel
    "mxfp8",
    "w8a8",  # int8 weights and activations
    "w8a16",  # int8 weights alone
    "w4a16",  # int4 weights in groups of 128
    "w4a8",  # int4 experts (or weights) with int8 activations, the rest as w8a8
    "w4a4",
    "int4-experts",  # int4 routed experts in groups of 32, the rest bf16
    "mxfp4-experts",  # fp4 routed experts in groups of 32, the rest bf16
    "mxfp4-experts-fp8",  # fp4 routed experts in groups of 32, the rest fp8
    "mxfp4",
    "nvfp4",
    "w2a16",
    "gguf-q4",
    "gguf-q8",
    "int8",  # the edge build's own
    "int4",
]
"""How the weights of one build or release are stored."""

Format = Literal[
    "plain",  # safetensors in bf16, fp16 or fp32
    "fp8",  # safetensors with fp8 weights and scales, as DeepSeek and Qwen publish them
    "compressed-tensors",
    "modelslim",
    "modelopt",
    "mxfp4",
    "awq",
    "gptq",
    "autoround",
    "gguf",
    "smoothquant",
    "slimquant",
    "paddle",
    "online",  # quantized by the engine while it loads plain weights
    "rkllm",
    "bmodel",
    "mlx",
    "onnx",
]
"""How the files of a checkpoint are laid out: an engine reads some and not others."""
