"""How an embedding model's tokens become one vector: what sentence-transformers' files say, and the arithmetic.

Without these files the mean is taken and brought to length 1. Called by `runtimes.build.encoders`
and `runtimes.build.classifiers`. The edge server has
its own arithmetic, in `runtimes.edge.encoder`; a test compares both with transformers.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtimes.build.directory import Json, read_json, read_list
from runtimes.contract import EncoderShape
from runtimes.errors import Invalid, Refused

Floats = NDArray[np.float32]
POOLINGS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
STEPS = ("Transformer", "Pooling", "Normalize")


def read_shape(folder: Path) -> EncoderShape:
    """What the edge server must know, from the staged folder.

    Raises:
        Invalid: a setting is missing or impossible.
        Refused: the model has a step or a pooling that is not built here.
    """
    config = read_json(folder / "config.json")
    sentences = read_json(folder / "sentence_bert_config.json")
    if sentences.get("do_lower_case"):
        raise Refused("sentence_bert_config.json asks for do_lower_case, which is not built here")
    positions = longest_text(config)
    longest = _positive(sentences, "max_seq_length") if sentences.get("max_seq_length") else positions
    pooling, normalized = _pooling(folder)
    return EncoderShape(
        width=_positive(config, "hidden_size"),
        vocabulary=_positive(config, "vocab_size"),
        context_tokens=min(positions, longest),
        pooling=pooling,
        normalized=normalized,
        token_types=config.get("model_type") == "bert",
    )


def longest_text(config: Json) -> int:
    """Tokens that an encoder reads at most.

    Raises:
        Invalid: the configuration does not say.
    """
    positions = _positive(config, "max_position_embeddings")
    if config.get("model_type") in {"roberta", "xlm-roberta"}:
        pad = config.get("pad_token_id")
        positions -= (pad if isinstance(pad, int) else 1) + 1  # these count positions from after the padding's number
    return positions


def pooled(hidden: Floats, shape: EncoderShape) -> Floats:
    """One vector from the vectors of a text's tokens, [tokens, width] to [width]."""
    vector = hidden[0] if shape.pooling == "cls" else hidden.mean(axis=0)
    return np.asarray(vector / np.linalg.norm(vector) if shape.normalized else vector, dtype=np.float32)


def _pooling(folder: Path) -> tuple[str, bool]:
    steps = [str(step.get("type", "")).rpartition(".")[2] for step in read_list(folder / "modules.json")]
    if not steps:
        return "mean", True
    if strange := [step for step in steps if step not in STEPS]:
        raise Refused(f"modules.json has a step {strange[0][:40]!r}; only {', '.join(STEPS)} are built")
    settings = read_json(folder / "1_Pooling" / "config.json")
    chosen = [name for name, value in settings.items() if name.startswith("pooling_mode") and value]
    if len(chosen) != 1 or chosen[0] not in POOLINGS:
        found = ", ".join(chosen)[:120] or "none"
        raise Refused(f"1_Pooling/config.json asks for {found}; one of {', '.join(POOLINGS)} is built")
    return POOLINGS[chosen[0]], "Normalize" in steps


def _positive(settings: Json, key: str) -> int:
    value = settings.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise Invalid(f"{key} must be a positive whole number, found {str(value)[:40]}")
    return value
