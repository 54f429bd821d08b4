"""Tiny models of the families that are built, made here, and a progress that only remembers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from runtimes.build.cache import BuildRequest, Built
from runtimes.build.evaluate import evaluation_text
from runtimes.build.job import Findings, Job

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = "{% for message in messages %}<|im_start|>{{ message.content }}<|im_end|>{% endfor %}"


class Steps:
    """A progress that remembers what it heard."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, int, int]] = []

    def step(self, name: str, *, total: int, done: int) -> None:
        self.heard.append((name, total, done))

    def names(self) -> list[str]:
        return list(dict.fromkeys(name for name, _, _ in self.heard))


@pytest.fixture
def steps() -> Steps:
    return Steps()


@pytest.fixture
def a_request() -> Callable[..., BuildRequest]:
    def request(source: Path | str, quantization: str = "int8", model: str = "tiny") -> BuildRequest:
        return BuildRequest(model=model, source=str(source), quantization=quantization, licence="MIT")

    return request


@pytest.fixture(scope="session")
def build_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path, str], Built]]:
    """Builds in this process, which has torch loaded already; the same weights are built once per run.

    What the worker answers goes through JSON, as it does between processes.
    """
    import torch  # noqa: PLC0415 slow, and only some tests build

    from runtimes.build import build as building  # noqa: PLC0415 beside its only use
    from runtimes.build.worker import work  # noqa: PLC0415 torch is slow, and only some tests build

    def work_here(job: Job, _log: Path, progress: Steps) -> Findings:
        return Findings.model_validate_json(work(job, progress).model_dump_json())

    store = tmp_path_factory.mktemp("built-here")
    torch.set_num_threads(1)  # more of them only wait for each other over models this small
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "run_worker", work_here)
        yield lambda source, quantization: building.build(
            BuildRequest("tiny", str(source), quantization, "MIT"), store, Steps()
        )


@pytest.fixture(scope="session")
def tiny_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Byte-level BPE of at most 400 tokens, trained on the evaluation text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([evaluation_text()], trainer)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Path) -> Callable[[str], Path]:
    """Makes a Hugging Face directory of a family with random weights: hidden 64, 4 layers; once per family."""
    made: dict[str, Path] = {}

    def make(family: str) -> Path:
        if family not in made:
            made[family] = tmp_path_factory.mktemp("models") / f"tiny-{family}"
            _write_model(made[family], family, tiny_tokenizer)
        return made[family]

    return make


def _write_model(folder: Path, family: str, tokenizer: Path) -> None:
    import torch  # noqa: PLC0415 slow, and only some tests make a model
    from transformers import AutoConfig, AutoModelForCausalLM  # noqa: PLC0415 same

    config = AutoConfig.for_model(
        family,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        vocab_size=Tokenizer.from_file(str(tokenizer)).get_vocab_size(),
        max_position_embeddings=128,
        tie_word_embeddings=family == "qwen3",
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        sliding_window=None,
        initializer_range=0.1,
    )
    torch.manual_seed(7)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    (folder / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    settings = {"bos_token": "<|im_start|>", "eos_token": {"content": "<|im_end|>"}, "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 0]}))


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Path) -> Callable[[str], Path]:
    """Makes an embedding model of a family with random weights: hidden 64, 2 layers; once per family."""
    made: dict[str, Path] = {}

    def make(family: str) -> Path:
        if family not in made:
            made[family] = tmp_path_factory.mktemp("encoders") / f"tiny-{family}"
            write_encoder(made[family], family, tiny_tokenizer)
        return made[family]

    return make


def write_encoder(folder: Path, family: str, tokenizer: Path) -> None:
    import torch  # noqa: PLC0415 slow, and only some tests make a model
    from transformers import AutoConfig, AutoModel  # noqa: PLC0415 same

    config = AutoConfig.for_model(
        family,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        vocab_size=Tokenizer.from_file(str(tokenizer)).get_vocab_size(),
        max_position_embeddings=128,
        type_vocab_size=2 if family == "bert" else 1,
        pad_token_id=0 if family == "bert" else 1,
        initializer_range=0.1,
    )
    torch.manual_seed(7)
    AutoModel.from_config(config).save_pretrained(folder)
    (folder / "tokenizer.json").write_bytes(tokenizer.read_bytes())
