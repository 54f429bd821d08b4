"""The header of a GGUF file to a model's dimensions: counts from its tensors, heads and windows from its metadata.

Names of tensors and of metadata are those of llama.cpp (gguf-py 0.19, `constants.py`), where every architecture uses
the same ones. A model in several files is read from all of them. Reading bytes is `runtimes.build.gguf_file`; what the
edge build can convert is decided there too. Called by `orchestrator.adapters.imports.card`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.adapters.imports.assemble import EMBEDDING, HEAD, Pieces, assemble
from orchestrator.adapters.imports.bounded import shown
from orchestrator.adapters.imports.layers import LINEAR, NORM, Given
from orchestrator.adapters.imports.safetensors import inside
from orchestrator.api.architecture import MOST_LAYERS, Architecture, LinearAttention
from orchestrator.errors import Invalid, Refused
from runtimes.build.ggml_types import TENSOR_TYPES
from runtimes.build.gguf_file import GgufFile, GgufTensor, Value, read_gguf

# Architectures whose tensors and windows are understood; a Mistral or SmolLM2 file calls itself llama.
FAMILIES = (
    "llama", "qwen2", "qwen2vl", "qwen3", "qwen3vl", "qwen2moe", "qwen3moe", "qwen3vlmoe", "qwen3next", "qwen35",
    "qwen35moe", "deepseek", "deepseek2", "gemma", "gemma2", "gemma3", "phi2", "phi3", "chatglm", "glm4", "glm4moe",
    "gpt-oss", "ernie4_5", "ernie4_5-moe", "bailingmoe", "bailingmoe2", "minimax-m2", "smollm3", "granite",
    "granitemoe", "hunyuan-dense", "hunyuan-moe", "internlm2", "seed_oss", "mistral3", "dots1", "olmo2", "olmoe",
)  # fmt: skip
# llama.cpp's own rule where the file does not say it: of so many layers all but the last look back at the window only.
WINDOW_EVERY = {"gemma2": 2, "gemma3": 6, "gpt-oss": 2}
LARGEST = 1 << 24
MOST_SPLITS = 2048
_SPLIT = re.compile(r"(.{1,200})-(\d{5})-of-(\d{5})\.gguf")
_BLOCK = re.compile(r"blk\.(\d{1,4})\.(.{1,120}?)(?:\.(weight|bias))?")
OUTSIDE = {"token_embd.weight": EMBEDDING, "output.weight": HEAD, "output.bias": "head_bias"}
DROPPED = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")  # tables, no parameters
PARTS = {
    "attn_q": "q", "attn_k": "k", "attn_v": "v", "attn_qkv": "qkv", "attn_output": "o", "attn_sinks": "sinks",
    "attn_q_norm": "q_norm", "attn_k_norm": "k_norm", "attn_q_a": "q_a", "attn_q_a_norm": "q_a_norm",
    "attn_q_b": "q_b", "attn_kv_a_mqa": "kv_a", "attn_kv_a_norm": "kv_a_norm", "attn_kv_b": "kv_b",
    "attn_k_b": "k_b", "attn_v_b": "v_b", "ffn_gate": "gate", "ffn_up": "up", "ffn_down": "down",
    "ffn_gate_exps": "expert_gate", "ffn_up_exps": "expert_up", "ffn_down_exps": "expert_down",
    "ffn_gate_up_exps": "expert_gate_up", "ffn_gate_inp": "router", "ffn_gate_shexp": "shared_gate",
    "ffn_up_shexp": "shared_up", "ffn_down_shexp": "shared_down", "ffn_gate_inp_shexp": "shared_router",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class GgufModel:
    """A model as its GGUF files describe it."""

    family: str
    architecture: Architecture
    context: int
    name: str  # as the files say, may be empty
    licence: str  # a tag of a hub, may be empty
    quantized: str  # the ggml type that most parameters have
    parameters: int
    bytes_by_type: Mapping[str, int]
    notes: tuple[str, ...]


def read_gguf_model(path: Path) -> GgufModel:
    """Read the header of a GGUF file, and of the files it is split into.

    Raises:
        Invalid: no GGUF, a split missing, or metadata and tensors that contradict each other.
        Refused: an architecture that is not known here.
    """
    first = read_gguf(path)
    tensors = list(first.tensors)
    for other in _other_splits(path, first):
        tensors += read_gguf(other).tensors
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise Invalid(f"{path.name}: a tensor is in two of the files the model is split into")
    return described(first, tensors)


def described(header: GgufFile, tensors: list[GgufTensor]) -> GgufModel:
    """What the metadata of a header and all tensors of a model say."""
    family = header.text("general.architecture")
    if family not in FAMILIES:
        raise Refused(f"architecture {shown(family) or 'unnamed'} is not known here; known: {', '.join(FAMILIES)}")
    said = _Said(header, family)
    blocks = said.whole("block_count", most=MOST_LAYERS)
    drafts = said.maybe("nextn_predict_layers") or 0
    pieces = _pieces(tensors, blocks - drafts)
    architecture = assemble(pieces, said.given, count=blocks - drafts)
    if architecture.hidden_size != said.whole("embedding_length"):
        said_width, table_width = said.whole("embedding_length"), architecture.hidden_size
        raise Invalid(f"embedding_length is {said_width}, and its embedding has {table_width}")
    numbers: dict[str, int] = {}
    size_bytes: dict[str, int] = {}
    for tensor in tensors:
        label = TENSOR_TYPES[tensor.type_id][0]
        numbers[label] = numbers.get(label, 0) + math.prod(tensor.shape)
        size_bytes[label] = size_bytes.get(label, 0) + tensor.size_bytes
    return GgufModel(
        family=family,
        architecture=architecture,
        context=said.whole("context_length", most=1 << 40),
        name=header.text("general.name"),
        licence=header.text("general.license"),
        quantized=max(numbers, key=lambda label: numbers[label]),
        parameters=pieces.total,
        bytes_by_type=size_bytes,
        notes=tuple(said.notes),
    )


def _other_splits(path: Path, header: GgufFile) -> list[Path]:
    """The other files of a model that is split."""
    count = header.number("split.count", 0)
    if count <= 1:
        return []
    numbered = _SPLIT.fullmatch(path.name)
    if numbered is None or count > MOST_SPLITS or int(numbered[3]) != count:
        right = f"NAME-00001-of-{min(int(count), 99_999):05}.gguf"
        raise Invalid(f"{path.name} says it is one of {count:g} files; a name like {right} was expected")
    names = [f"{numbered[1]}-{number:05}-of-{numbered[3]}.gguf" for number in range(1, int(count) + 1)]
    others = [path.parent / name for name in names if name != path.name]
    missing = [other.name for other in others if not other.is_file()]
    if missing:
        raise Invalid(f"{missing[0]} is not beside {path.name}; {len(missing)} of {count:g} files are missing")
    return [inside(path.parent, other) for other in others]


def _pieces(tensors: list[GgufTensor], blocks: int) -> Pieces:
    """Tensors by the part they play; blocks beyond the layers predict further tokens."""
    pieces = Pieces()
    hidden = next((tensor.shape[-1] for tensor in tensors if tensor.name == "token_embd.weight"), 0)
    for tensor in tensors:
        matched = _BLOCK.fullmatch(tensor.name)
        if tensor.name in DROPPED or (matched and matched[2] in ("exp_probs_b", "attn_rot_embd", "rope_freqs")):
            continue
        if matched is None:
            pieces.outside[OUTSIDE.get(tensor.name, tensor.name)] = tensor.shape
            continue
        index, name, ending = int(matched[1]), matched[2], matched[3] or "weight"
        if index >= blocks:
            pieces.drafts.add(str(index))
            continue
        part = _part(name, ending, tensor.shape, hidden)
        pieces.layers.setdefault(index, {})[part] = tensor.shape
    return pieces


def _part(name: str, ending: str, shape: tuple[int, ...], hidden: int) -> str:
    known = PARTS.get(name)
    if known:
        return known if ending == "weight" else f"{known}_bias"
    if name.startswith(("ssm_", "attn_gate")):
        return f"{LINEAR}{name}_{ending}"
    if shape == (hidden,) and ending == "weight":
        return f"{NORM}{name}"
    return f"{name}.{ending}"


class _Said:
    """Numbers of the metadata under the name of the architecture."""

    def __init__(self, header: GgufFile, family: str) -> None:
        self._values = header.metadata
        self._family = family
        self.notes: list[str] = []

    def maybe(self, key: str, *, layer: int = 0, most: int = LARGEST) -> int | None:
        """A whole number, of one layer where there is a list; None where it is absent, 0 or longer than it can be."""
        value: Value | None = self._values.get(f"{self._family}.{key}")
        if isinstance(value, list):
            if not layer < len(value) <= MOST_LAYERS:
                raise Invalid(f"{self._family}.{key} has {len(value)} entries; one for each layer was expected")
            value = value[layer]
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            raise Invalid(f"{self._family}.{key} must be a whole number up to {most}, found {shown(value)}")
        return value or None

    def whole(self, key: str, *, layer: int = 0, most: int = LARGEST) -> int:
        """A whole number above zero that must be there."""
        found = self.maybe(key, layer=layer, most=most)
        if found is None:
            raise Invalid(f"its metadata has no {self._family}.{key}")
        return found

    def given(self, layer: int) -> Given:
        """What the shapes of a layer leave open."""
        slides = self._slides(layer)
        latent = self.maybe("attention.kv_lora_rank") is not None
        return Given(
            heads=self.maybe("attention.head_count", layer=layer),
            kv_heads=None if latent else self.maybe("attention.head_count_kv", layer=layer),
            head_dim=None if latent else self._head_dim(layer, slides=slides),
            window=self.maybe("attention.sliding_window") if slides else None,
            per_token=self.maybe("expert_used_count", layer=layer),
            shared=self.maybe("expert_shared_count", layer=layer),
            top_tokens=self.maybe("attention.indexer.top_k"),
            linear=self._linear(),
        )

    def _head_dim(self, layer: int, *, slides: bool) -> int | None:
        own = self.maybe("attention.key_length_swa", layer=layer) if slides else None
        return own or self.maybe("attention.key_length", layer=layer)

    def _slides(self, layer: int) -> bool:
        """Whether a layer looks back at the window only."""
        window = self.maybe("attention.sliding_window", most=1 << 40)
        if window is None:
            return False
        pattern = self._values.get(f"{self._family}.attention.sliding_window_pattern", WINDOW_EVERY.get(self._family))
        if isinstance(pattern, list):
            return layer < len(pattern) and bool(pattern[layer])
        if isinstance(pattern, int) and not isinstance(pattern, bool) and pattern > 0:
            return layer % pattern < pattern - 1
        return False

    def _linear(self) -> LinearAttention | None:
        """The state of Qwen's hybrid models, whose numbers go under the names of state space models."""
        values = self.maybe("ssm.inner_size")
        heads, key_heads = self.maybe("ssm.time_step_rank"), self.maybe("ssm.group_count")
        key_dim = self.maybe("ssm.state_size")
        if values is None or heads is None or key_heads is None or key_dim is None or values % heads:
            return None
        return LinearAttention(
            form="gated-delta-net",
            key_heads=key_heads,
            value_heads=heads,
            key_dim=key_dim,
            value_dim=values // heads,
            convolution=self.maybe("ssm.conv_kernel") or 0,
        )
