"""An embedding model to a graph for the edge: optimum's export, quantized for every machine, compared and measured.

Called by `runtimes.build.worker`, in its process. What needs no vectors is in `runtimes.build.exported`.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from optimum.exporters.onnx import onnx_export_from_model
from tokenizers import Tokenizer
from transformers import AutoModel

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
from runtimes.build.pooling import Floats, pooled, read_shape
from runtimes.build.resident import open_graph
from runtimes.build.staging import TOKENIZER_FILE, link_files
from runtimes.contract import EncoderShape, Needs, Similarity
from runtimes.errors import Invalid, Refused

NAME = "transformers AutoModel, float32"
LEAST_COSINE = 0.95  # mean over the sentences; a graph below that is broken, not merely quantized

Vectors = Callable[[list[int]], Floats]


def work_encoder(job: Job, progress: Progress) -> Findings:
    """Builds and measures; graph and tokenizer are in the job's folder afterwards.

    Raises:
        Invalid, Refused: the source cannot be built, or the graph's vectors point elsewhere than the model's.
    """
    folder, scratch = Path(job.folder), Path(job.work)
    source, export = scratch / "source", scratch / "export"
    source.mkdir()
    link_files(Path(job.source), source)
    shape = read_shape(source)
    sentences = sentences_of(source / TOKENIZER_FILE, shape)
    step = advanced(progress, "export")
    step(0, 2)
    model = _load(source)
    step(1, 2)
    wanted = _read(sentences, _model_vectors(model), shape, advanced(progress, "read with reference"))
    with torch.no_grad():
        onnx_export_from_model(model, export, task="feature-extraction", no_post_process=True, do_validation=False)
    del model
    step(2, 2)
    step = advanced(progress, "quantize")
    step(0, 1)
    graph = export / GRAPH_FILE
    settle(in_eight_bits(graph, scratch / "quantized") if job.bits == INT8_BITS else graph, folder / GRAPH_FILE)
    step(1, 1)
    found = _read(sentences, graph_vectors(folder / GRAPH_FILE), shape, advanced(progress, "evaluate"))
    quality = judge_vectors(found, wanted)
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


def sentences_of(tokenizer: Path, shape: EncoderShape) -> list[list[int]]:
    """The sentences of the shipped text as token ids, each cut to the context.

    Raises:
        Invalid: the tokenizer gives ids outside the vocabulary.
    """
    reader = Tokenizer.from_file(str(tokenizer))
    reader.no_padding()
    reader.no_truncation()
    texts = [text.strip() for text in re.split(r"(?<=[.!?\u3002\uff01\uff1f])", evaluation_text())]
    sentences = [reader.encode(text).ids[: shape.context_tokens] for text in texts if text]
    highest = max(max(sentence, default=0) for sentence in sentences)
    if highest >= shape.vocabulary:
        raise Invalid(f"the tokenizer gives token {highest}; the model has {shape.vocabulary} tokens")
    return [sentence for sentence in sentences if sentence]


def judge_vectors(found: Sequence[Floats], wanted: Sequence[Floats]) -> Similarity:
    """The figures for the manifest.

    Raises:
        Refused: the graph's vectors point elsewhere than the model's.
    """
    cosines = [
        float(np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b))) for a, b in zip(found, wanted, strict=True)
    ]
    mean = sum(cosines) / len(cosines)
    if not mean >= LEAST_COSINE:
        raise Refused(
            f"the graph's embeddings of the evaluation sentences have a mean cosine similarity of {mean:.4f} to the "
            f"float32 model's; below {LEAST_COSINE} nothing is published"
        )
    return Similarity(
        reference=NAME,
        sentences=len(cosines),
        mean_cosine=min(1.0, mean),
        lowest_cosine=max(-1.0, min(1.0, *cosines)),
    )


def graph_vectors(graph: Path) -> Vectors:
    """Opens an exported graph; the result gives the vectors of a text's tokens, [tokens, width]."""
    session = open_graph(str(graph))
    names = [given.name for given in session.get_inputs()]

    def vectors(ids: list[int]) -> Floats:
        tokens = np.asarray([ids], dtype=np.int64)
        given = {
            "input_ids": tokens,
            "attention_mask": np.ones_like(tokens),
            "token_type_ids": np.zeros_like(tokens),
        }
        (hidden,) = session.run(["last_hidden_state"], {name: given[name] for name in names})
        return np.asarray(hidden[0], dtype=np.float32)

    return vectors


def _load(source: Path) -> torch.nn.Module:
    model, loading = AutoModel.from_pretrained(
        source, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, output_loading_info=True
    )
    # The pooler reads the first token for a task of its own; sentence models often ship without it and never use it.
    lost = [*loading["missing_keys"], *(name for name, *_ in loading["mismatched_keys"])]
    if missing := sorted(name for name in lost if not name.startswith("pooler.")):
        raise Invalid(f"{source.name}: {len(missing)} weights are missing or misshapen, the first is {missing[0]}")
    return model.eval()


def _model_vectors(model: torch.nn.Module) -> Vectors:
    def vectors(ids: list[int]) -> Floats:
        tokens = torch.tensor([ids], dtype=torch.int64)
        with torch.no_grad():
            hidden = model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).last_hidden_state
        return np.asarray(hidden[0].numpy(), dtype=np.float32)

    return vectors


def _read(sentences: Sequence[list[int]], vectors: Vectors, shape: EncoderShape, step: Advanced) -> list[Floats]:
    found: list[Floats] = []
    for done, sentence in enumerate(sentences, start=1):
        found.append(pooled(vectors(sentence), shape))
        step(done, len(sentences))
    return found
