"""Resident memory of a fresh interpreter that runs a graph: `python -m runtimes.build.resident GRAPH [CONTEXT_TOKENS]`.

A decoder runs one token; an encoder, whose context is given, a batch as large as the edge server makes it. It imports
as little as an engine must, so that the figure is the engine's and not the build's. Caches are empty. Called by
`runtimes.build.worker` and `runtimes.build.encoders`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import onnxruntime
import psutil

ERROR_ONLY = 3
CACHE_TYPES = {"tensor(float)": np.float32, "tensor(int8)": np.int8}
BATCH_TOKENS = 2048  # of an encoder, padding included; as in `runtimes.edge.encoding`

Feeds = dict[str, np.ndarray]


def open_graph(path: str) -> onnxruntime.InferenceSession:
    """Opens a graph on the CPU, quietly."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERROR_ONLY
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def feeds_of(session: onnxruntime.InferenceSession, tokens: Sequence[int], scored: Sequence[int]) -> Feeds:
    """Inputs that read a fresh sequence and ask for scores at some of its places."""
    ids = np.asarray([tokens], dtype=np.int64)
    feeds: Feeds = {
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
        "positions": np.asarray(scored, dtype=np.int64),
    }
    for cache in session.get_inputs():
        if cache.name.startswith("past_key_values."):
            _, kv_heads, _, head_dim = cache.shape
            feeds[cache.name] = np.zeros((1, kv_heads, 0, head_dim), CACHE_TYPES[cache.type])
    return feeds


def resident_bytes(path: str) -> int:
    """Loads a graph, runs one token, and tells this process's resident memory."""
    session = open_graph(path)
    session.run(["logits"], feeds_of(session, [0], [0]))
    return int(psutil.Process().memory_info().rss)


def encoder_resident_bytes(path: str, context_tokens: int) -> int:
    """Loads a graph, runs one full batch of the longest texts, and tells this process's resident memory."""
    session = open_graph(path)
    length = min(context_tokens, BATCH_TOKENS)
    tokens = np.zeros((BATCH_TOKENS // length, length), dtype=np.int64)
    feeds = {
        given.name: np.ones_like(tokens) if given.name == "attention_mask" else tokens for given in session.get_inputs()
    }
    session.run(None, feeds)
    return int(psutil.Process().memory_info().rss)


if __name__ == "__main__":
    graph, *context = sys.argv[1:]
    found = encoder_resident_bytes(graph, int(context[0])) if context else resident_bytes(graph)
    sys.stdout.write(f"{found}\n")
