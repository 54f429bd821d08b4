"""Resident memory of a fresh interpreter that runs a graph.

Called as `python -m runtimes.build.resident GRAPH [CONTEXT_TOKENS [ENCODER]]`. A decoder runs one token; an encoder,
whose context is given, a batch as large as the edge server makes it; a speech model, whose encoder is given too, a
window with its context full. It imports as little as an engine must, so that the figure is the engine's and not the
build's. Called by `runtimes.build.worker` and `runtimes.build.exported`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import onnxruntime
import psutil

ERROR_ONLY = 3
CACHE_TYPES = {"tensor(float)": np.float32, "tensor(int8)": np.int8}
HELD_SOUND_BYTES = 3600 * 16000 * 2  # an hour in 16 bits, as much as `runtimes.edge.hearing` lets wait
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


class Decoding:
    """A speech model's decoder as it reads, after one window of sound."""

    def __init__(self, session: onnxruntime.InferenceSession, heard: np.ndarray) -> None:
        """Begin with empty caches.

        Args:
            session: of the decoder with both branches.
            heard: what the encoder made of the window, [1, places, width].
        """
        self._session = session
        self._outputs = [output.name for output in session.get_outputs()]
        self._feeds: Feeds = {"encoder_hidden_states": heard, "use_cache_branch": np.array([False])}
        for cache in session.get_inputs():
            if cache.name.startswith("past_key_values."):
                self._feeds[cache.name] = np.zeros((1, cache.shape[1], 0, cache.shape[3]), np.float32)

    def read(self, tokens: Sequence[int]) -> np.ndarray:
        """Scores after each of the tokens, [tokens, vocabulary]; several at once only at the beginning."""
        found = self._session.run(self._outputs, self._feeds | {"input_ids": np.asarray([tokens], np.int64)})
        first = not self._feeds["use_cache_branch"][0]
        for name, value in zip(self._outputs, found, strict=True):
            if name.startswith("present.") and (first or ".decoder." in name):  # what was heard does not change
                self._feeds[name.replace("present.", "past_key_values.")] = value
        self._feeds["use_cache_branch"] = np.array([True])
        return np.asarray(found[self._outputs.index("logits")][0])


def speech_resident_bytes(path: str, context_tokens: int, encoder: str) -> int:
    """Loads both graphs, hears a window, fills the context, and tells the memory, that of waiting sound included."""
    hearing, session = open_graph(encoder), open_graph(path)
    _, mels, frames = hearing.get_inputs()[0].shape
    (heard,) = hearing.run(None, {"input_features": np.zeros((1, mels, frames), np.float32)})
    decoding = Decoding(session, heard)
    prompt_tokens = context_tokens // 2  # as long as the edge server makes it
    decoding.read([0] * prompt_tokens)
    for _ in range(context_tokens - prompt_tokens):
        decoding.read([0])
    return int(psutil.Process().memory_info().rss) + HELD_SOUND_BYTES


def _found(graph: str, tokens: str = "", encoder: str = "") -> int:
    if encoder:
        return speech_resident_bytes(graph, int(tokens), encoder)
    return encoder_resident_bytes(graph, int(tokens)) if tokens else resident_bytes(graph)


if __name__ == "__main__":
    sys.stdout.write(f"{_found(*sys.argv[1:])}\n")
