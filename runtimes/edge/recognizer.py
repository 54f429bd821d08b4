"""The graphs of a speech model: a window of sound to what the encoder makes of it, and tokens after it.

The decoder is one graph with two branches: the first reads the prompt and fills the caches, the second takes one token
more. What may be said is decided in `runtimes.edge.dictation`. Opened by `runtimes.edge.session`; only the thread of
`runtimes.edge.hearing` calls this. Made by `runtimes.edge.replica`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from runtimes.contract import SpeechShape
from runtimes.edge.artifact import ENCODER_FILE, Artifact
from runtimes.edge.session import first_line, load_graph, running
from runtimes.errors import Invalid, Refused, Unavailable

PAST, PRESENT = "past_key_values.", "present."
HEARD = "encoder_hidden_states"
LATER = "use_cache_branch"
SCORES = "logits"

Floats = NDArray[np.float32]


class Recognizer:
    """Runs both graphs over one window at a time. Not thread-safe."""

    def __init__(self, artifact: Artifact, *, threads: int, providers: Sequence[str] = ()) -> None:
        """Load the graphs.

        Raises:
            Invalid: the artifact holds no speech model.
            Refused: ONNX Runtime cannot load a graph, or it is not what the manifest describes.
        """
        shape = artifact.manifest.shape
        if not isinstance(shape, SpeechShape):
            raise Invalid(f"{artifact.manifest.model} is a model for {artifact.manifest.task}, not for transcription.")
        self.shape = shape
        self._encoder = load_graph(artifact, threads, name=ENCODER_FILE, providers=providers)
        self._decoder = load_graph(artifact, threads, providers=providers)
        self.providers = running(self._decoder)
        self._outputs = [node.name for node in self._decoder.get_outputs()]
        self._caches = [node.name for node in self._decoder.get_inputs() if node.name.startswith(PAST)]
        self._feeds: dict[str, NDArray[np.generic]] = {}
        wanted = {
            f"{PAST}{layer}.{side}.{part}"
            for layer in range(shape.layers)
            for side in ("decoder", "encoder")
            for part in ("key", "value")
        }
        heard = [list(node.shape[1:]) for node in self._encoder.get_inputs()]
        scored = [node.shape[-1] for node in self._decoder.get_outputs() if node.name == SCORES]
        if (
            set(self._caches) != wanted
            or heard != [[shape.mels, shape.window_frames]]
            or scored != [shape.vocabulary]
            or {node.name for node in self._decoder.get_inputs()} - wanted != {"input_ids", HEARD, LATER}
        ):
            raise Refused(
                f"{artifact.folder} holds other graphs than its manifest describes; build the artifact again."
            )

    def hear(self, features: Floats) -> Floats:
        """What the encoder makes of a window, [1, places, width].

        Args:
            features: [mels, window_frames].

        Raises:
            Unavailable: ONNX Runtime failed.
        """
        try:
            (heard,) = self._encoder.run(["last_hidden_state"], {"input_features": features[None]})
        except Exception as exc:  # the library's errors share no base class but Exception
            raise Unavailable(f"The model failed to hear: {first_line(exc)}", retry_in_s=1.0) from exc
        return np.asarray(heard, np.float32)

    def begin(self, heard: Floats, tokens: Sequence[int]) -> Floats:
        """Read a prompt after a window.

        Returns:
            Scores after each token, [tokens, vocabulary].

        Raises:
            Unavailable: ONNX Runtime failed.
        """
        empty = np.zeros((1, self.shape.heads, 0, self.shape.head_dim), np.float32)
        self._feeds = {HEARD: heard, LATER: np.array([False])} | dict.fromkeys(self._caches, empty)
        scores = self._run(tokens, keep_heard=False)
        self._feeds[LATER] = np.array([True])
        return scores

    def step(self, token: int) -> Floats:
        """Scores after one token more, [vocabulary].

        Raises:
            Unavailable: ONNX Runtime failed.
        """
        scores: Floats = self._run([token], keep_heard=True)[-1]
        return scores

    def _run(self, tokens: Sequence[int], *, keep_heard: bool) -> Floats:
        try:
            found = self._decoder.run(self._outputs, self._feeds | {"input_ids": np.asarray([tokens], np.int64)})
        except Exception as exc:  # the library's errors share no base class but Exception
            raise Unavailable(f"The model step failed: {first_line(exc)}", retry_in_s=1.0) from exc
        for name, value in zip(self._outputs, found, strict=True):
            if name.startswith(PRESENT) and not (
                keep_heard and ".encoder." in name
            ):  # the second branch gives nothing for what was heard
                self._feeds[name.replace(PRESENT, PAST)] = value
        return np.asarray(found[self._outputs.index(SCORES)][0], np.float32)
