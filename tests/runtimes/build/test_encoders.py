"""Embedding models: tiny ones of every family through the worker, compared with transformers, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from runtimes.build.directory import check_directory, used_files
from runtimes.build.encoders import graph_vectors, judge_vectors, sentences_of
from runtimes.build.pooling import pooled, read_shape
from runtimes.build.tasks import TASKS, check_quantization, task_of
from runtimes.contract import EncoderShape
from runtimes.errors import Invalid, Refused

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's tracer and the exporters warn at every build

FAMILIES = {"bert": "BertModel", "roberta": "RobertaModel", "xlm-roberta": "XLMRobertaModel"}
STEP = "sentence_transformers.models."


def sentence_files(folder: Path, *, mode: str = "mean_tokens", steps: tuple[str, ...] = ("Transformer", "Pooling")):
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({f"pooling_mode_{mode}": True, "other": 3}))
    (folder / "modules.json").write_text(json.dumps([{"type": STEP + step} for step in steps]))


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """A folder with settings alone."""
    config = {"architectures": ["BertModel"], "model_type": "bert", "hidden_size": 8, "vocab_size": 9}
    (tmp_path / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 512}))
    return tmp_path


@pytest.mark.parametrize("family", FAMILIES)
def test_the_graph_of_a_family_gives_the_vectors_of_transformers(tiny_encoder, build_here, family):
    import torch  # noqa: PLC0415 slow, and only this test needs it
    from transformers import AutoModel  # noqa: PLC0415 same

    source = tiny_encoder(family)
    built = build_here(source, "fp32")
    findings, folder = built.manifest, built.path

    assert set(findings.files) == {"model.onnx", "tokenizer.json"}
    assert findings.quality.lowest_cosine > 0.99999
    assert findings.shape.token_types == (family == "bert")
    assert findings.shape.context_tokens == (128 if family == "bert" else 126)
    longest = max(sentences_of(source / "tokenizer.json", findings.shape), key=len)
    with torch.no_grad():
        wanted = AutoModel.from_pretrained(source).eval()(torch.tensor([longest])).last_hidden_state[0].numpy()
    np.testing.assert_allclose(graph_vectors(folder / "model.onnx")(longest), wanted, atol=2e-5)
    assert findings.needs.resident_bytes > findings.needs.weights_bytes


def test_an_int8_graph_is_smaller_and_its_distance_is_recorded(tiny_encoder, build_here):
    whole, quantized = (build_here(tiny_encoder("bert"), name).manifest for name in ("fp32", "int8"))

    assert quantized.needs.weights_bytes < 0.5 * whole.needs.weights_bytes
    assert 0.95 < quantized.quality.mean_cosine < 0.99999
    assert quantized.quality.lowest_cosine <= quantized.quality.mean_cosine
    assert quantized.quality.sentences > 20


def test_vectors_that_point_elsewhere_are_refused():
    ahead, aside = np.array([1, 0], np.float32), np.array([0.5, 1], np.float32)

    assert judge_vectors([ahead, ahead * 3], [ahead, ahead]).mean_cosine == pytest.approx(1)
    with pytest.raises(Refused, match=r"mean cosine similarity of 0\.4472"):
        judge_vectors([aside], [ahead])
    with pytest.raises(Refused):
        judge_vectors([aside * np.nan], [ahead])


def test_every_family_in_the_table_is_built_here():
    assert set(FAMILIES.values()) == {name for name, task in TASKS.items() if task == "embedding"}


def test_pooling_and_length_come_from_sentence_transformers_files(settings):
    assert read_shape(settings) == EncoderShape(
        width=8, vocabulary=9, context_tokens=512, pooling="mean", normalized=True, token_types=True
    )

    sentence_files(settings, mode="cls_token")
    (settings / "sentence_bert_config.json").write_text('{"max_seq_length": 256, "do_lower_case": false}')

    shape = read_shape(settings)
    assert (shape.pooling, shape.normalized, shape.context_tokens) == ("cls", False, 256)
    assert {path.relative_to(settings).as_posix() for path in used_files(settings)} == {
        "config.json",
        "modules.json",
        "1_Pooling/config.json",
        "sentence_bert_config.json",
    }


def test_the_mean_and_the_first_token_are_what_they_say():
    hidden = np.array([[3, 0], [0, 4]], np.float32)
    shape = EncoderShape(width=2, vocabulary=1, context_tokens=2, pooling="cls", normalized=False, token_types=False)

    assert pooled(hidden, shape).tolist() == [3, 0]
    mean = shape.model_copy(update={"pooling": "mean", "normalized": True})
    assert pooled(hidden, mean).tolist() == pytest.approx([0.6, 0.8])


def test_what_would_change_the_vectors_and_is_not_built_is_refused(settings):
    sentence_files(settings, mode="max_tokens")
    with pytest.raises(Refused, match="pooling_mode_max_tokens"):
        read_shape(settings)

    sentence_files(settings, steps=("Transformer", "Pooling", "Dense"))
    with pytest.raises(Refused, match="'Dense'"):
        read_shape(settings)

    (settings / "sentence_bert_config.json").write_text('{"do_lower_case": true}')
    with pytest.raises(Refused, match="do_lower_case"):
        read_shape(settings)


def test_broken_settings_get_one_sentence(settings):
    (settings / "modules.json").write_text('{"type": 1}')
    with pytest.raises(Invalid, match=r"modules.json must hold a list"):
        read_shape(settings)

    (settings / "config.json").write_text('{"max_position_embeddings": "many"}')
    with pytest.raises(Invalid, match="max_position_embeddings must be a positive whole number, found many"):
        read_shape(settings)


def test_the_task_comes_from_the_architecture_and_limits_the_quantization(tiny_encoder, tiny_model):
    assert task_of(tiny_encoder("bert")) == "embedding"
    assert task_of(tiny_model("llama")) == "generation"
    assert check_directory(tiny_encoder("bert")) > 1000
    check_quantization("embedding", "fp32")
    with pytest.raises(Refused, match="built as int8 or fp32, not as int4"):
        check_quantization("embedding", "int4")
    with pytest.raises(Refused, match="built as int4 or int8, not as fp32"):
        check_quantization("generation", "fp32")
