"""A reranker or classifier to a graph for the edge: optimum's export, compared with the model and measured.

One label that is no choice between answers makes a reranker: its number says how well two texts fit. Called by
`runtimes.build.worker`, in its process. What is common to all exports is in `runtimes.build.exported`.
"""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from optimum.exporters.onnx import onnx_export_from_model
from tokenizers import Encoding, Tokenizer
from transformers import AutoModelForSequenceClassification

from runtimes.build.directory import Json, read_json
from runtimes.build.evaluate import Advanced, evaluation_text
from runtimes.build.exported import (
    GRAPH_FILE,
    INT8_BITS,
    advanced,
    in_eight_bits,
    resident_bytes,
    settle,
    weights_bytes,
)
from runtimes.build.job import Findings, Job, Progress
from runtimes.build.pooling import longest_text
from runtimes.build.resident import open_graph
from runtimes.build.staging import TOKENIZER_FILE, link_files
from runtimes.build.tasks import labels_of
from runtimes.contract import ClassifierShape, Needs, ScoreDistance
from runtimes.errors import Invalid, Refused

NAME = "transformers AutoModelForSequenceClassification, float32"
MOST_DIFFERENCE = 0.1  # mean over the pairs; a graph beyond that is broken, not merely quantized
ACTIVATIONS = {"Sigmoid": "sigmoid", "Identity": "identity"}
PROBLEMS = {"regression": "identity", "multi_label_classification": "sigmoid"}

Floats = NDArray[np.float32]
Scores = Callable[[Encoding], Floats]


def work_classifier(job: Job, progress: Progress) -> Findings:
    """Builds and measures; graph and tokenizer are in the job's folder afterwards.

    Raises:
        Invalid, Refused: the source cannot be built, or the graph scores otherwise than the model.
    """
    folder, scratch = Path(job.folder), Path(job.work)
    source, export = scratch / "source", scratch / "export"
    source.mkdir()
    link_files(Path(job.source), source)
    shape = read_classifier(source)
    pairs = pairs_of(source / TOKENIZER_FILE, shape)
    step = advanced(progress, "export")
    step(0, 2)
    model = _load(source)
    step(1, 2)
    wanted = _read(pairs, _model_scores(model, shape), shape, advanced(progress, "read with reference"))
    with torch.no_grad():
        onnx_export_from_model(model, export, task="text-classification", no_post_process=True, do_validation=False)
    del model
    step(2, 2)
    step = advanced(progress, "quantize")
    step(0, 1)
    graph = export / GRAPH_FILE
    settle(in_eight_bits(graph, scratch / "quantized") if job.bits == INT8_BITS else graph, folder / GRAPH_FILE)
    step(1, 1)
    found = _read(pairs, graph_scores(folder / GRAPH_FILE), shape, advanced(progress, "evaluate"))
    quality = judge_scores(found, wanted)
    shutil.copyfile(source / TOKENIZER_FILE, folder / TOKENIZER_FILE)
    step = advanced(progress, "measure memory")
    step(0, 1)
    needs = Needs(
        weights_bytes=weights_bytes(folder),
        resident_bytes=resident_bytes(str(folder / GRAPH_FILE), str(shape.context_tokens)),
        kv_bytes_per_token=0,
    )
    step(1, 1)
    return Findings(shape=shape, needs=needs, quality=quality)


def read_classifier(folder: Path) -> ClassifierShape:
    """What the edge server must know, from the staged folder.

    Raises:
        Invalid: a setting is missing or impossible.
        Refused: the scores go through a function that is not built here.
    """
    config = read_json(folder / "config.json")
    labels = labels_of(config)
    vocabulary = config.get("vocab_size")
    if not isinstance(vocabulary, int) or vocabulary <= 0:
        raise Invalid(f"config.json: vocab_size must be a positive whole number, found {str(vocabulary)[:40]}")
    return ClassifierShape(
        labels=tuple(labels),
        vocabulary=vocabulary,
        context_tokens=longest_text(config),
        activation=_activation(config, len(labels)),
        token_types=config.get("model_type") == "bert",
    )


def activated(numbers: Floats, activation: str) -> Floats:
    """The graph's numbers, [..., labels], as the scores that are answered."""
    if activation == "softmax":
        powers = np.exp(numbers - numbers.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
    return numbers if activation == "identity" else np.asarray(1 / (1 + np.exp(-numbers)))


def pairs_of(tokenizer: Path, shape: ClassifierShape) -> list[Encoding]:
    """Neighbouring sentences of the shipped text, each pair encoded as one.

    Raises:
        Invalid: the tokenizer gives ids outside the vocabulary.
    """
    reader = Tokenizer.from_file(str(tokenizer))
    reader.no_padding()
    reader.enable_truncation(shape.context_tokens)
    texts = [text.strip() for text in re.split(r"(?<=[.!?\u3002\uff01\uff1f])", evaluation_text())]
    pairs = [reader.encode(first, second) for first, second in itertools.pairwise(text for text in texts if text)]
    highest = max(max(pair.ids, default=0) for pair in pairs)
    if highest >= shape.vocabulary:
        raise Invalid(f"the tokenizer gives token {highest}; the model has {shape.vocabulary} tokens")
    return [pair for pair in pairs if pair.ids]


def judge_scores(found: Sequence[Floats], wanted: Sequence[Floats]) -> ScoreDistance:
    """The figures for the manifest.

    Raises:
        Refused: the graph scores otherwise than the model.
    """
    differences = np.abs(np.stack(found) - np.stack(wanted))
    mean = float(differences.mean())
    if not mean <= MOST_DIFFERENCE:
        raise Refused(
            f"the graph's scores for the evaluation sentences differ by {mean:.4f} in the mean from the float32 "
            f"model's; above {MOST_DIFFERENCE} nothing is published"
        )
    same = np.mean([int(a.argmax()) == int(b.argmax()) for a, b in zip(found, wanted, strict=True)])
    return ScoreDistance(
        reference=NAME,
        pairs=len(differences),
        mean_difference=mean,
        largest_difference=float(differences.max()),
        same_label=float(same),
    )


def graph_scores(graph: Path) -> Scores:
    """Opens an exported graph; the result gives its numbers for an encoded text or pair, [labels]."""
    session = open_graph(str(graph))
    names = [given.name for given in session.get_inputs()]

    def scores(pair: Encoding) -> Floats:
        given = {"input_ids": pair.ids, "attention_mask": [1] * len(pair.ids), "token_type_ids": pair.type_ids}
        (logits,) = session.run(["logits"], {name: np.asarray([given[name]], np.int64) for name in names})
        return np.asarray(logits[0], np.float32)

    return scores


def _activation(config: Json, labels: int) -> str:
    trained = config.get("sentence_transformers")
    named = trained.get("activation_fn") if isinstance(trained, dict) else None
    named = named or config.get("sbert_ce_default_activation_function")
    if named is not None:
        kind = str(named).rpartition(".")[2]
        if kind not in ACTIVATIONS:
            raise Refused(f"config.json: activation_fn {kind[:40]!r}; only {' and '.join(ACTIVATIONS)} are built")
        return ACTIVATIONS[kind]
    return PROBLEMS.get(str(config.get("problem_type")), "sigmoid" if labels == 1 else "softmax")


def _load(source: Path) -> torch.nn.Module:
    model, loading = AutoModelForSequenceClassification.from_pretrained(
        source, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, output_loading_info=True
    )
    if missing := sorted([*loading["missing_keys"], *(name for name, *_ in loading["mismatched_keys"])]):
        raise Invalid(f"{source.name}: {len(missing)} weights are missing or misshapen, the first is {missing[0]}")
    return model.eval()


def _model_scores(model: torch.nn.Module, shape: ClassifierShape) -> Scores:
    def scores(pair: Encoding) -> Floats:
        given = {"input_ids": pair.ids} | ({"token_type_ids": pair.type_ids} if shape.token_types else {})
        with torch.no_grad():
            logits = model(**{name: torch.tensor([value]) for name, value in given.items()}).logits
        return np.asarray(logits[0].numpy(), np.float32)

    return scores


def _read(pairs: Sequence[Encoding], scores: Scores, shape: ClassifierShape, step: Advanced) -> list[Floats]:
    found: list[Floats] = []
    for done, pair in enumerate(pairs, start=1):
        found.append(activated(scores(pair), shape.activation))
        step(done, len(pairs))
    return found
