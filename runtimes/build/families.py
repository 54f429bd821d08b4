"""onnxruntime-genai's model builders, made to compute what transformers computes.

Each difference found between the two is settled here, and transformers is right: rotary tables come from its own
functions (the builder skips linear scaling, among others), windows and rotary positions follow the configuration of
each layer, and Gemma's embeddings are scaled by the exact root. Which family has which builder is data in
`runtimes.build.architectures`; the graph is quantized in `runtimes.build.fuse`, which calls this.
"""

from __future__ import annotations

import copy
from pathlib import Path

import onnx_ir
import torch
from onnx import ModelProto
from onnxruntime_genai.models import builders
from onnxruntime_genai.models.builders.base import Model
from transformers import AutoConfig, PretrainedConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from runtimes.build.architectures import BUILDERS, context_key
from runtimes.errors import Refused

NO_WINDOW = -1  # how GroupQueryAttention is told to look at everything before


class Exact(Model):  # type: ignore[misc]  # the builder has no types
    """What every family needs: rotary tables of transformers, and each layer's own window and positions."""

    def __init__(self, config: PretrainedConfig, *others: object) -> None:
        self._config = config
        super().__init__(config, *others)

    def make_rope_init(self, config: PretrainedConfig) -> None:
        """Leave scaling to `make_rotary_embedding_caches_from_scratch`."""

    def make_rotary_embedding_caches_from_scratch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines of all positions, shape [context, rotated numbers of a head / 2]."""
        return rotary_tables(self._config)

    def make_attention(self, layer_id: int, attention: torch.nn.Module, root_input: str, **others: object) -> None:
        """Attention of one layer, with the window and the positions its configuration gives it."""
        self.window_size = self._window(layer_id)
        rotated = getattr(self._config, "no_rope_layers", None)
        self.attention_attrs["rope"] = rotated is None or bool(rotated[layer_id])
        super().make_attention(layer_id, attention, root_input, **others)

    def is_local(self, layer_id: int) -> bool:
        """What Gemma's builder asks instead of counting layers itself."""
        return self._window(layer_id) != NO_WINDOW

    def _window(self, layer_id: int) -> int:
        window = getattr(self._config, "sliding_window", None)
        kinds = getattr(self._config, "layer_types", None)
        if window is None or (kinds is not None and kinds[layer_id] != "sliding_attention"):
            return NO_WINDOW
        return int(window)


class Gemma(Exact, builders.GemmaModel):  # type: ignore[misc]  # same
    """Gemma; the builder rounds the scale of the embeddings to two digits, and prefers another key's activation."""

    def __init__(self, config: PretrainedConfig, *others: object) -> None:
        super().__init__(config, *others)
        self.embed_attrs["scale"] = float(config.hidden_size**0.5)
        self.activation = config.hidden_act


class Gemma2(Exact, builders.Gemma2Model):  # type: ignore[misc]  # same
    """Gemma 2; the builder rounds here too."""

    def __init__(self, config: PretrainedConfig, *others: object) -> None:
        super().__init__(config, *others)
        self.embed_attrs["scale"] = float(config.hidden_size**0.5)


class Gemma3(Gemma2, builders.Gemma3Model):  # type: ignore[misc]  # same
    """Gemma 3, whose windowed layers rotate by a table of their own, never scaled."""

    def make_rotary_embedding_caches_from_scratch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The table of all layers first, then that of the windowed ones."""
        if not hasattr(self, "cos_cache_local_name"):
            return rotary_tables(self._config)
        local = copy.deepcopy(self._config)
        local.rope_theta, local.rope_scaling = self._config.rope_local_base_freq, None
        return rotary_tables(local)


class Glm(Exact, builders.ChatGLMModel):  # type: ignore[misc]  # same
    """GLM as transformers has it: part of each head is rotated, in neighbouring pairs."""

    def __init__(self, config: PretrainedConfig, *others: object) -> None:
        super().__init__(config, *others)
        self.rope_attrs["partial_rotary_factor"] = config.partial_rotary_factor
        self.rope_attrs["rotary_embedding_dim"] = int(self.head_size * config.partial_rotary_factor)


OWN = {"GemmaModel": Gemma, "Gemma2Model": Gemma2, "Gemma3Model": Gemma3, "ChatGLMModel": Glm}


def fused_float32(source: Path, folder: Path) -> ModelProto:
    """The decoder graph in float32, with logits of the last position only.

    Args:
        source: Hugging Face directory with `config.json` and safetensors; its architecture is one of `BUILDERS`.
        folder: where the builder may write.

    Raises:
        Refused: the model looks ahead of a token too.
    """
    config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    if getattr(config, "use_bidirectional_attention", False):
        raise Refused("config.json: use_bidirectional_attention; only models that look back alone are built")
    name = BUILDERS[config.architectures[0]]
    made = OWN.get(name) or type(name, (Exact, getattr(builders, name)), {})
    options = {"hf_token": "false", "hf_remote": False, "shared_embeddings": False, "prune_lm_head": True}
    float32 = onnx_ir.DataType.FLOAT
    with torch.no_grad():
        fused = made(config, float32, float32, "cpu", str(folder), options)
        fused.make_model(str(source))
        fused.model.graph.sort()
        proto: ModelProto = onnx_ir.to_proto(fused.model)
    return proto


def rotary_tables(config: PretrainedConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines for every position of the context.

    Returns:
        Two tensors of shape [context, rotated numbers of a head / 2], with the attention factor of the scaling.
    """
    scaling = getattr(config, "rope_scaling", None) or {}
    # The kinds dynamic and longrope have other tables beyond the context that is built, which ends before.
    find_frequencies = ROPE_INIT_FUNCTIONS[scaling.get("rope_type", scaling.get("type", "default"))]
    frequencies, factor = find_frequencies(config, torch.device("cpu"))
    positions = torch.arange(getattr(config, context_key(config.to_dict())), dtype=torch.float32)
    angles = torch.outer(positions, frequencies)
    return angles.cos() * factor, angles.sin() * factor
