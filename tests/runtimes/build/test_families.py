"""Every family against transformers: the edge session on the fused graph answers with the same tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from runtimes.build.architectures import BUILDERS
from runtimes.build.families import fused_float32
from runtimes.build.job import Job
from runtimes.build.staging import stage
from runtimes.build.worker import work
from runtimes.contract import ArtifactManifest, DecoderShape, Needs, Quality, Source
from runtimes.edge.artifact import Artifact
from runtimes.edge.session import Session
from runtimes.errors import Refused

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


@dataclass(frozen=True)
class Family:
    """A tiny model: its type in transformers, and what differs from the settings that all have."""

    kind: str
    settings: dict[str, object]


FAMILIES = {
    "llama, positions scaled linearly": Family("llama", scaled("linear")),
    "llama 3": Family("llama", scaled("llama3", low_freq_factor=1.0, high_freq_factor=4.0, **OLD)),
    "llama, yarn": Family("llama", scaled("yarn", **OLD)),
    "mistral with a window": Family("mistral", WINDOW),
    "qwen 2, windows in later layers": Family("qwen2", {"use_sliding_window": True, "max_window_layers": 1, **WINDOW}),
    "qwen 3": Family("qwen3", {}),
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
}
# llama, mistral and qwen are built in 8 bits in test_worker
QUANTIZED = ("gemma 2", "gemma 3", "phi 4 mini", "smollm 3", "ernie 4.5", "glm", "granite")


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
    (folder / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    return model


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
    onnx.save_model(fused_float32(staged.folder, folder), str(folder / "model.onnx"))
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


def test_every_family_that_is_listed_is_compared():
    compared = {AutoConfig.for_model(family.kind).model_type for family in FAMILIES.values()}
    names = {name.removesuffix("ForCausalLM").lower().replace("gemma3", "gemma3_text") for name in BUILDERS}

    assert names == compared


def test_longrope_ends_the_context_where_its_long_factors_would_begin(tiny, tmp_path):
    source = tiny("phi 4 mini").folder
    staged = stage("directory", source, tmp_path, lambda *_: None)

    assert json.loads((source / "config.json").read_text())["max_position_embeddings"] == 128
    assert staged.shape.context_tokens == 64


def test_positions_that_change_with_the_length_of_the_text_are_refused(tiny, tmp_path):
    config = tiny("qwen 3").model.config.to_dict() | {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}
    (tmp_path / "config.json").write_text(json.dumps(config))

    with pytest.raises(Refused, match="rope_scaling dynamic cannot be built; these can: default, linear"):
        fused_float32(tmp_path, tmp_path)
