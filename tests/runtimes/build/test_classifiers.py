"""Rerankers and classifiers: tiny ones of every family built, served, and compared with transformers."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from aiohttp.test_utils import TestClient, TestServer
from tokenizers import Tokenizer, processors

from runtimes.build.classifiers import activated, judge_scores, read_classifier
from runtimes.build.tasks import task_of
from runtimes.contract import ClassifierShape
from runtimes.edge.artifact import Artifact, open_artifact
from runtimes.edge.classifier import Classifier
from runtimes.edge.classifier import activated as activated_at_the_edge
from runtimes.edge.encoding import Encoding
from runtimes.edge.metrics import EdgeMetrics
from runtimes.edge.reranking import ClassifierServed
from runtimes.edge.server import EdgeServer
from runtimes.edge.tokens import Vocabulary
from runtimes.errors import Invalid, Refused

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's tracer and the exporters warn at every build

QUERY = "How do fish breathe?"
DOCUMENTS = ["They do not hurry.", "A fish.", "My grandfather repaired bicycles for forty years in a narrow shop."]
MOODS = ["sad", "glad", "neither"]


def write_classifier(folder: Path, family: str, tokenizer: Path, labels: list[str]) -> Path:
    import torch  # noqa: PLC0415 slow, and only some tests make a model
    from transformers import AutoConfig, AutoModelForSequenceClassification  # noqa: PLC0415 same

    made = Tokenizer.from_file(str(tokenizer))
    begin, end = ("<|im_start|>", made.token_to_id("<|im_start|>")), ("<|im_end|>", made.token_to_id("<|im_end|>"))
    kind = processors.BertProcessing if family == "bert" else processors.RobertaProcessing
    made.post_processor = kind(end, begin)
    config = AutoConfig.for_model(
        family,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        vocab_size=made.get_vocab_size(),
        max_position_embeddings=128,
        type_vocab_size=2 if family == "bert" else 1,
        pad_token_id=0 if family == "bert" else 1,
        initializer_range=0.3,
        id2label=dict(enumerate(labels)),
    )
    torch.manual_seed(7)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    made.save(str(folder / "tokenizer.json"))
    return folder


def transformers_numbers(source: Path, texts: list) -> np.ndarray:
    import torch  # noqa: PLC0415 slow, and only this test needs it
    from transformers import AutoModelForSequenceClassification  # noqa: PLC0415 same

    model = AutoModelForSequenceClassification.from_pretrained(source).eval()
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    rows = []
    for text in texts:
        encoding = tokenizer.encode(*([text] if isinstance(text, str) else text))
        given = {"input_ids": torch.tensor([encoding.ids])}
        if model.config.model_type == "bert":
            given["token_type_ids"] = torch.tensor([encoding.type_ids])
            assert isinstance(text, str) or sum(encoding.type_ids) > 1
        with torch.no_grad():
            rows.append(model(**given).logits[0].numpy())
    return np.stack(rows)


def asked(artifact: Artifact, path: str, **body) -> tuple[int, dict]:
    async def run() -> tuple[int, dict]:
        loop = asyncio.get_running_loop()
        classifier = Classifier(artifact, context_tokens=100, threads=1)
        engine = Encoding(classifier, slots=1, queue=1, post=partial(loop.call_soon_threadsafe))
        await loop.run_in_executor(None, engine.start)
        edge = EdgeServer(EdgeMetrics())
        vocabulary = Vocabulary.load(artifact.tokenizer)
        edge.open_for(ClassifierServed(engine, vocabulary, classifier.labels, ("tiny",), made_s=5))
        async with TestClient(TestServer(edge.app())) as client:
            response = await client.post(path, json={"model": "tiny"} | body)
            found = response.status, await response.json()
            await loop.run_in_executor(None, engine.stop, 10.0)
            return found

    return asyncio.run(run())


@pytest.mark.parametrize("family", ["bert", "xlm-roberta"])
def test_documents_are_ordered_by_the_scores_of_transformers(tiny_tokenizer, build_here, tmp_path, family):
    source = write_classifier(tmp_path / "source", family, tiny_tokenizer, ["LABEL_0"])
    artifact = open_artifact(build_here(source, "fp32").path)
    found = artifact.manifest
    wanted = activated(transformers_numbers(source, [(QUERY, one) for one in DOCUMENTS]), "sigmoid")[:, 0]

    status, answer = asked(artifact, "/v1/rerank", query=QUERY, documents=DOCUMENTS)
    assert status == 200
    order = [one["index"] for one in answer["results"]]
    assert order == np.argsort(-wanted).tolist()
    np.testing.assert_allclose([one["relevance_score"] for one in answer["results"]], wanted[order], atol=2e-5)
    assert [one["document"]["text"] for one in answer["results"]] == [DOCUMENTS[index] for index in order]
    assert answer["usage"]["total_tokens"] > 50

    wishes = {"query": QUERY, "documents": DOCUMENTS, "top_n": 1, "return_documents": False}
    (best,) = asked(artifact, "/rerank", **wishes)[1]["results"]
    assert (set(best), best["index"]) == ({"index", "relevance_score"}, order[0])
    assert (found.task, found.quality.pairs) == ("rerank", 38)
    assert found.quality.largest_difference < 1e-4
    if family == "bert":
        quantized = build_here(source, "int8").manifest
        assert quantized.needs.weights_bytes < 0.5 * found.needs.weights_bytes
        assert 1e-4 < quantized.quality.mean_difference < 0.1


def test_labels_get_the_probabilities_of_transformers(tiny_tokenizer, build_here, tmp_path):
    source = write_classifier(tmp_path / "source", "roberta", tiny_tokenizer, MOODS)
    artifact = open_artifact(build_here(source, "fp32").path)
    found = artifact.manifest
    wanted = activated(transformers_numbers(source, DOCUMENTS), "softmax")

    status, answer = asked(artifact, "/classify", input=DOCUMENTS)
    assert (status, found.task, found.quality.same_label) == (200, "classification", 1)
    np.testing.assert_allclose([one["probs"] for one in answer["data"]], wanted, atol=2e-5)
    assert [one["label"] for one in answer["data"]] == [MOODS[at] for at in wanted.argmax(axis=1)]
    assert {one["num_classes"] for one in answer["data"]} == {3}
    assert answer["usage"]["completion_tokens"] == 0
    assert asked(artifact, "/classify", input=DOCUMENTS[0])[1]["data"] == answer["data"][:1]
    for path, body, sentence in [
        ("/v1/rerank", {"query": "a", "documents": ["b"]}, "chooses between 3 labels; ask /classify"),
        ("/v1/rerank", {"query": "a", "documents": []}, "documents must not be empty"),
        ("/v1/embeddings", {"input": "a"}, "makes no embeddings"),
        ("/v1/completions", {"prompt": "a"}, "scores texts and generates no text; ask /v1/rerank or /classify"),
        ("/v1/audio/transcriptions", {}, "must be multipart/form-data"),
        ("/classify", {"input": "a " * 200}, "input 0 has"),
        ("/classify", {"input": ""}, "input must be a string"),
    ]:
        status, answer = asked(artifact, path, **body)
        assert (status, sentence in answer["error"]["message"]) == (400, True), answer


def test_scores_go_through_the_function_the_model_was_trained_with(tmp_path):
    config = {"architectures": ["BertForSequenceClassification"], "model_type": "bert", "vocab_size": 9}
    config |= {"max_position_embeddings": 64, "id2label": {"0": "fit"}}

    def shape(**more) -> ClassifierShape:
        (tmp_path / "config.json").write_text(json.dumps(config | more))
        return read_classifier(tmp_path)

    assert (shape().activation, task_of(tmp_path)) == ("sigmoid", "rerank")
    assert shape(problem_type="regression").activation == "identity"
    assert shape(sentence_transformers={"activation_fn": "torch.nn.modules.linear.Identity"}).activation == "identity"
    two = {"id2label": {"1": "no", "0": "yes"}}
    assert (shape(**two).activation, shape(**two).labels) == ("softmax", ("yes", "no"))
    assert shape(problem_type="multi_label_classification", **two).activation == "sigmoid"
    with pytest.raises(Refused, match="activation_fn 'Tanh'; only Sigmoid and Identity"):
        shape(sbert_ce_default_activation_function="torch.nn.Tanh")
    with pytest.raises(Invalid, match="id2label must name a label for each number"):
        shape(id2label={"3": "odd"})


def test_both_ends_compute_the_same_scores_and_distant_ones_are_refused():
    numbers = np.array([[1.5, -0.5, 900], [0, -800, 1]], np.float32)
    for activation in ("softmax", "sigmoid", "identity"):
        np.testing.assert_allclose(
            activated(numbers, activation), activated_at_the_edge(numbers, activation), rtol=1e-5
        )

    near, far = np.array([0.9], np.float32), np.array([0.2], np.float32)
    assert judge_scores([near, far], [near, far]).largest_difference == 0
    with pytest.raises(Refused, match=r"differ by 0\.7000"):
        judge_scores([near], [far])
