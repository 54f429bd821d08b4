"""What a model is for, by the architecture its config.json names, and how its graph may be quantized.

Data and look-ups only; imports no build tool. Decoders are in `runtimes.build.architectures`. Each family here is
exported and compared in the tests. Called by `runtimes.build.directory` and `runtimes.build.build`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from runtimes.errors import Invalid, Refused

GENERATION = "generation"
EMBEDDING = "embedding"
RERANK = "rerank"
CLASSIFICATION = "classification"
TRANSCRIPTION = "transcription"
# Hugging Face architecture -> task
TASKS = {
    "BertModel": EMBEDDING,
    "RobertaModel": EMBEDDING,
    "XLMRobertaModel": EMBEDDING,
    "BertForSequenceClassification": CLASSIFICATION,  # with one label: RERANK
    "RobertaForSequenceClassification": CLASSIFICATION,
    "XLMRobertaForSequenceClassification": CLASSIFICATION,
    "WhisperForConditionalGeneration": TRANSCRIPTION,
}
GRAPHS, NARROW = ("int8", "fp32"), ("int4", "int8")
# What each task is built as; the first is built unless another is asked for.
QUANTIZATIONS_OF = dict.fromkeys((EMBEDDING, RERANK, CLASSIFICATION, TRANSCRIPTION), GRAPHS) | {GENERATION: NARROW}
USUAL_LABELS = 2  # transformers' number of labels where a config.json names none


def first_architecture(config: Mapping[str, object]) -> str:
    """The architecture that a config.json names; `none` when it names none."""
    named = config.get("architectures")
    return str(named[0]) if isinstance(named, list) and named else "none"


def task_of(source: Path) -> str:
    """The task of a source that `runtimes.build.sources.check_source` has accepted."""
    if not source.is_dir():
        return GENERATION  # a GGUF file
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    task = TASKS.get(first_architecture(config), GENERATION)
    return RERANK if task == CLASSIFICATION and len(labels_of(config)) == 1 else task


def labels_of(config: Mapping[str, object]) -> list[str]:
    """The labels of a classifier, in the order of its numbers.

    Raises:
        Invalid: `id2label` is not a list of labels by number.
    """
    named = config.get("id2label")
    if named is None:
        count = config.get("num_labels", USUAL_LABELS)
        named = {str(at): f"LABEL_{at}" for at in range(count if isinstance(count, int) else 0)}
    if not isinstance(named, dict) or not named or set(named) != {str(at) for at in range(len(named))}:
        raise Invalid("config.json: id2label must name a label for each number from 0 on")
    return [str(named[str(at)]) for at in range(len(named))]


def usual_quantization(task: str) -> str:
    """What a model for a task is built as when nobody says."""
    return QUANTIZATIONS_OF[task][0]


def check_quantization(task: str, quantization: str) -> None:
    """Raises Refused when graphs of a task are not built like that."""
    if quantization not in QUANTIZATIONS_OF[task]:
        have = " or ".join(QUANTIZATIONS_OF[task])
        raise Refused(f"a model for {task} is built as {have}, not as {quantization}; ask for one of these")
