"""Every family against transformers: the edge session on the fused graph answers with the same tokens."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from orchestrator.adapters.cards import card_from_source
from runtimes.build.architectures import BUILT
from runtimes.build.families import fused_float32
from runtimes.build.job import Job
from runtimes.build.scored import score_where_asked
from runtimes.build.staging import stage
from runtimes.build.worker import work
from runtimes.contract import ArtifactManifest, DecoderShape, Needs, Quality, Source
from runtimes.edge.artifact import Artifact
from runtimes.edge.session import Session
from runtimes.errors import Invalid, Refused

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's tracer and the exporters warn at every build

PIECES = (5, 9, 7)  # of the prompt, read one after the other; longer than every window together
ANSWER_TOKENS = 24
WINDOW = {"sliding_window": 8}


def longrope(rotated: int, **changed: object) -> dict[str, object]:
    return {
        "original_max_position_embeddings": 64,
        "rope_scaling": {
            "type": "longrope",
            "short_factor": [1 + 0.1 * i for i in range(rotated // 2)],
            "long_factor": [2.0 + i for i in range(rotated // 2)],
        },
        **changed,
    }


def scaled(kind: str, **more: float) -> dict[str, object]:
    return {"rope_scaling": {"rope_type": kind, "factor": 4.0, **more}}


OLD = {"original_max_position_embeddings": 32}
GEMMA = {"head_dim": 32, "query_pre_attn_scalar": 24, **WINDOW}


def as_minicpm(weights: dict[str, torch.Tensor], config: dict[str, object]) -> dict[str, object]:
    """A Llama's weights with MiniCPM's factors taken out of them, as the published conversion puts them in."""
    factors = {"embed_tokens": 1 / 12, "o_proj": 3**0.5 / 1.4, "down_proj": 3**0.5 / 1.4, "lm_head": 64 / 16}
    for name, weight in weights.items():
        weight.mul_(math.prod(factor for part, factor in factors.items() if part in name))
    mine = {"scale_emb": 12, "scale_depth": 1.4, "dim_model_base": 16, "auto_map": {"AutoModelForCausalLM": "m.M"}}
    return {**config, "architectures": ["MiniCPMForCausalLM"], "model_type": "minicpm", **mine}


def as_internlm2(weights: dict[str, torch.Tensor], config: dict[str, object]) -> dict[str, object]:
    """A Llama's weights under InternLM2's names: of two key heads each with its two queries, key and value together."""
    for layer in range(3):
        for ending in ("weight", "bias"):
            q, k, v = (weights.pop(f"model.layers.{layer}.self_attn.{part}_proj.{ending}") for part in "qkv")
            rows = [q[:32], k[:16], v[:16], q[32:], k[16:], v[16:]]
            weights[f"model.layers.{layer}.attention.wqkv.{ending}"] = torch.cat(rows)
    names = {
        "self_attn.o_proj": "attention.wo",
        "mlp.gate_proj": "feed_forward.w1",
        "mlp.down_proj": "feed_forward.w2",
        "mlp.up_proj": "feed_forward.w3",
        "input_layernorm": "attention_norm",
        "post_attention_layernorm": "ffn_norm",
        "embed_tokens": "tok_embeddings",
        "lm_head": "output",
    }
    for name in list(weights):
        found = next((part for part in names if part in name), None)
        if found:
            weights[name.replace(found, names[found])] = weights.pop(name)
    more = {"architectures": ["InternLM2ForCausalLM"], "model_type": "internlm2", "bias": True}
    return {key: value for key, value in config.items() if key != "attention_bias"} | more


@dataclass(frozen=True)
class Family:
    """A tiny model.

    Attributes:
        kind: its type in transformers.
        settings: what differs from the settings that all have.
        published: rewrites weights and settings as another family's checkpoint that must give the same answers.
    """

    kind: str
    settings: dict[str, object]
    published: Callable[[dict[str, torch.Tensor], dict[str, object]], dict[str, object]] | None = None


FAMILIES = {
    "llama, positions scaled linearly": Family("llama", scaled("linear")),
    "llama, positions scaled beyond its context": Family("llama", scaled("dynamic")),
    "llama 3": Family("llama", scaled("llama3", low_freq_factor=1.0, high_freq_factor=4.0, **OLD)),
    "llama, yarn": Family("llama", scaled("yarn", **OLD)),
    "mistral with a window": Family("mistral", WINDOW),
    "qwen 2, windows in later layers": Family("qwen2", {"use_sliding_window": True, "max_window_layers": 1, **WINDOW}),
    "qwen 3": Family("qwen3", {}),
    "gemma": Family("gemma", {"head_dim": 32, "hidden_act": "gelu", "hidden_activation": "gelu_pytorch_tanh"}),
    "gemma 2": Family("gemma2", {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0, **GEMMA}),
    "gemma 3": Family("gemma3_text", {"rope_local_base_freq": 99.0, "sliding_window_pattern": 2, **GEMMA}),
    "gemma 3, scaled": Family(
        "gemma3_text", {"rope_local_base_freq": 99.0, "sliding_window_pattern": 3, **scaled("linear"), **GEMMA}
    ),
    "phi 3 with a window": Family("phi3", WINDOW),
    "phi 4 mini": Family(
        "phi3", longrope(48, head_dim=None, hidden_size=128, num_attention_heads=2, partial_rotary_factor=0.75)
    ),
    "smollm 3": Family("smollm3", {"no_rope_layers": [1, 0, 1]}),
    "ernie 4.5": Family("ernie4_5", {"use_bias": True}),
    "glm": Family("glm", {"head_dim": 32, "partial_rotary_factor": 0.5, "attention_bias": True}),
    "granite": Family(
        "granite",
        {
            "embedding_multiplier": 12.0,
            "residual_multiplier": 0.22,
            "attention_multiplier": 0.1,
            "logits_scaling": 0.5,
        },
    ),
    "minicpm": Family("llama", {}, as_minicpm),
    "internlm 2": Family("llama", {"attention_bias": True}, as_internlm2),
}
# llama, mistral and qwen are built in 8 bits in test_worker
QUANTIZED = (
    "gemma",
    "gemma 2",
    "gemma 3",
    "phi 4 mini",
    "smollm 3",
    "ernie 4.5",
    "glm",
    "granite",
    "minicpm",
    "internlm 2",
)


class Tiny(NamedTuple):
    model: PreTrainedModel
    folder: Path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Path) -> Callable[[str], Tiny]:
    """Makes a model of a family with random weights, biases and norms among them; once per family."""
    made: dict[str, Tiny] = {}

    def make(name: str) -> Tiny:
        if name not in made:
            folder = tmp_path_factory.mktemp("family")
            made[name] = Tiny(write_model(FAMILIES[name], folder, tiny_tokenizer), folder)
        return made[name]

    return make


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The models are so small that threads of torch only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def write_model(family: Family, folder: Path, tokenizer: Path) -> PreTrainedModel:
    settings = {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "vocab_size": Tokenizer.from_file(str(tokenizer)).get_vocab_size(),
        "max_position_embeddings": 128,
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "initializer_range": 0.2,
    } | family.settings
    config = AutoConfig.for_model(family.kind, **{key: value for key, value in settings.items() if value is not None})
    torch.manual_seed(7)
    # eager: the usual attention leaves out the softcap of Gemma 2
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 1:
                weight.add_(0.2 * torch.randn_like(weight))
    model.save_pretrained(folder)
    if family.published:
        write_published(family.published, folder)
    (folder / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    return model


def write_published(published: Callable[..., dict[str, object]], folder: Path) -> None:
    """Writes a saved model anew, in two files."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    config = published(weights, json.loads((folder / "config.json").read_text()))
    (folder / "config.json").write_text(json.dumps(config))
    places = {name: f"model-{1 + place % 2}.safetensors" for place, name in enumerate(weights)}
    for file in set(places.values()):
        save_file({name: weights[name] for name in places if places[name] == file}, folder / file, {"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


def session_of(folder: Path, shape: DecoderShape, slots: int = 2) -> Session:
    manifest = ArtifactManifest(
        model="tiny",
        quantization="none",
        licence="MIT",
        source=Source(kind="directory", name="tiny", sha256="0" * 64, size_bytes=1),
        shape=shape,
        needs=Needs(weights_bytes=1, resident_bytes=1, kv_bytes_per_token=1),
        quality=Quality(reference="r", tokens=1, perplexity=1, reference_perplexity=1, greedy_agreement=1),
        files={},
        tools={},
    )
    return Session(Artifact(folder, manifest), slots=slots, context_tokens=min(64, shape.context_tokens), threads=1)


def float32_session(source: Path, folder: Path) -> Session:
    (folder / "staged").mkdir()
    staged = stage("directory", source, folder / "staged", lambda *_: None)
    model = fused_float32(staged.folder, folder)
    score_where_asked(model.graph)
    onnx.save_model(model, str(folder / "model.onnx"))
    return session_of(folder, staged.shape)


def prompt() -> list[int]:
    return [int(token) for token in np.random.default_rng(3).integers(3, 270, sum(PIECES))]


def answer(session: Session, tokens: list[int]) -> tuple[list[int], NDArray[np.float32]]:
    """Greedy answer from row 1, read in pieces, while row 0 decodes a shorter text of its own."""
    session.prefill(0, tokens[::-1][:6], 0)
    scores: list[NDArray[np.float32]] = []
    read = 0
    for piece in PIECES:
        scores.append(session.prefill(1, tokens[read : read + piece], read).copy())
        read += piece
    chosen: list[int] = []
    for step in range(ANSWER_TOKENS):
        chosen.append(int(scores[-1].argmax()))
        scores.append(session.step([5, chosen[-1]], [6 + step, read + step])[1].copy())
    return chosen, np.stack(scores)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_session_answers_as_transformers_does_token_by_token(name, tiny, tmp_path):
    model, source = tiny(name)
    tokens = prompt()
    with torch.no_grad():
        ids = torch.tensor([tokens])
        whole = model.generate(ids, max_new_tokens=ANSWER_TOKENS, do_sample=False, eos_token_id=None, pad_token_id=0)
        logits = model(whole).logits[0].numpy()
    wanted = whole[0, len(tokens) :].tolist()

    chosen, scores = answer(float32_session(source, tmp_path), tokens)

    assert chosen == wanted
    assert len(set(chosen)) > 4  # an answer that repeats itself would prove little
    positions = [*(np.cumsum(PIECES) - 1), *range(len(tokens), len(tokens) + ANSWER_TOKENS)]
    np.testing.assert_allclose(scores, logits[positions], atol=2e-5 * np.abs(logits).max())


@pytest.mark.parametrize("name", QUANTIZED)
def test_a_family_is_built_in_8_bits_and_answers(name, tiny, tmp_path):
    for folder in ("artifact", "work"):
        (tmp_path / folder).mkdir()
    job = Job(
        kind="directory",
        source=str(tiny(name).folder),
        folder=str(tmp_path / "artifact"),
        work=str(tmp_path / "work"),
        bits=8,
        reading=str(tmp_path / "reading.json"),
    )

    findings = work(job, Silent())

    assert findings.quality.greedy_agreement >= 0.8
    assert findings.quality.perplexity <= 1.02 * findings.quality.reference_perplexity
    chosen, scores = answer(session_of(tmp_path / "artifact", findings.shape), prompt())
    assert len(chosen) == ANSWER_TOKENS
    assert np.isfinite(scores).all()


class Silent:
    def step(self, name: str, *, total: int, done: int) -> None:
        assert name
        assert 0 <= done <= total


def test_every_family_that_is_listed_is_compared(tiny):
    configs = [json.loads((tiny(name).folder / "config.json").read_text()) for name in FAMILIES]

    assert {config["architectures"][0] for config in configs} == set(BUILT)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_that_is_built_can_be_planned_from_its_folder(name, tiny, tmp_path):
    folder = tiny(name).folder
    staged = stage("directory", folder, tmp_path, lambda *_: None)

    found = card_from_source(str(folder), "MIT", tmp_path).spec

    assert sum(layers.count for layers in found.architecture.layers) == staged.shape.layers
    assert {layers.grouped.head_dim for layers in found.architecture.layers} == {staged.shape.head_dim}
    assert (found.context, found.architecture.vocabulary) == (staged.shape.context_tokens, staged.shape.vocabulary)


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        pytest.param("minicpm", {"num_experts": 8}, Refused("num_experts of MiniCPM cannot be built"), id="experts"),
        pytest.param("minicpm", {"scale_emb": "12"}, Invalid("scale_emb must be a positive number"), id="text"),
        pytest.param(
            "minicpm",
            {"rope_scaling": {"original_max_position_embeddings": 64}},
            Refused("only up to the context it was trained with"),
            id="a longer context",
        ),
        pytest.param("internlm 2", {"num_key_value_heads": 3}, Invalid("not a multiple of 9 heads"), id="heads"),
    ],
)
def test_what_an_equivalent_lacks_is_refused(name, changes, expected, tiny, tmp_path):
    source, staged = tmp_path / "source", tmp_path / "staged"
    shutil.copytree(tiny(name).folder, source)
    staged.mkdir()
    config = json.loads((source / "config.json").read_text()) | changes
    (source / "config.json").write_text(json.dumps(config))

    with pytest.raises(type(expected), match=str(expected)):
        stage("directory", source, staged, lambda *_: None)


def test_rewriting_a_checkpoint_leaves_the_source_as_it_was(tiny, tmp_path):
    source = tiny("internlm 2").folder
    before = {path.name: path.read_bytes() for path in source.iterdir()}

    stage("directory", source, tmp_path, lambda *_: None)

    assert {path.name: path.read_bytes() for path in source.iterdir()} == before


@pytest.mark.parametrize("name", [name for name in FAMILIES if not FAMILIES[name].published])
def test_a_head_that_the_config_leaves_out_is_as_wide_as_in_transformers(name, tiny, tmp_path):
    config = json.loads((tiny(name).folder / "config.json").read_text())
    config.pop("head_dim", None)
    meant = AutoConfig.for_model(**config)
    (tmp_path / "source").mkdir()
    (tmp_path / "staged").mkdir()
    (tmp_path / "source" / "config.json").write_text(json.dumps(config))

    staged = stage("directory", tmp_path / "source", tmp_path / "staged", lambda *_: None)

    width = meant.hidden_size // meant.num_attention_heads
    assert staged.shape.head_dim == (getattr(meant, "head_dim", None) or width)


def test_longrope_ends_the_context_where_its_long_factors_would_begin(tiny, tmp_path):
    source = tiny("phi 4 mini").folder
    staged = stage("directory", source, tmp_path, lambda *_: None)

    assert json.loads((source / "config.json").read_text())["max_position_embeddings"] == 128
    assert staged.shape.context_tokens == 64


def test_a_model_that_looks_ahead_is_refused(tiny, tmp_path):
    config = tiny("gemma 3").model.config.to_dict() | {"use_bidirectional_attention": True}
    (tmp_path / "config.json").write_text(json.dumps(config))

    with pytest.raises(Refused, match="use_bidirectional_attention"):
        fused_float32(tmp_path, tmp_path)
