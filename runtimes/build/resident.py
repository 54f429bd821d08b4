"""Resident memory of a fresh interpreter that runs a graph: `python -m runtimes.build.resident GRAPH [CONTEXT_TOKENS]`.

A decoder runs one token; an encoder, whose context is given, a batch as large as the edge server makes it. It imports
as little as an engine must, so that the figure is the engine's and not the build's. Caches are empty. Called by
`runtimes.build.worker` and `runtimes.build.encoders`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import onnxruntime
import psutil
from numpy.typing import NDArray

ERROR_ONLY = 3
BATCH_TOKENS = 2048  # of an encoder, padding included; as in `runtimes.edge.encoding`


def open_graph(path: str) -> onnxruntime.InferenceSession:
    """Opens a graph on the CPU, quietly."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERROR_ONLY
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def empty_caches(session: onnxruntime.InferenceSession) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Past keys and values of a sequence that has not begun."""
    for cache in session.get_inputs():
        if cache.name.startswith("past_key_values."):
            _, kv_heads, _, head_dim = cache.shape
            yield cache.name, np.zeros((1, kv_heads, 0, head_dim), dtype=np.float32)


def resident_bytes(path: str) -> int:
    """Loads a graph, runs one token, and tells this process's resident memory."""
    session = open_graph(path)
    token = np.zeros((1, 1), dtype=np.int64)
    session.run(["logits"], {"input_ids": token, "attention_mask": np.ones_like(token), **dict(empty_caches(session))})
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
