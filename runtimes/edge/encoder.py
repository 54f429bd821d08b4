"""The encoder graph: texts as tokens to one vector each.

Opened by `runtimes.edge.session`. Which texts go together is decided in `runtimes.edge.encoding`, whose thread alone
calls this; `runtimes.edge.classifier` reads in the same way. Made by `runtimes.edge.replica`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.contract import EncoderShape
from runtimes.edge.artifact import Artifact
from runtimes.edge.session import first_line, load_graph, running
from runtimes.edge.tokens import TokenPair
from runtimes.errors import Invalid, Refused, Unavailable

HIDDEN = "last_hidden_state"

Floats = NDArray[np.float32]


class Encoder:
    """Runs the graph over a batch of texts. Not thread-safe."""

    def __init__(self, artifact: Artifact, *, context_tokens: int, threads: int, providers: Sequence[str] = ()) -> None:
        """Load the graph.

        Args:
            artifact: of an encoder.
            context_tokens: longest text wished for; the model's own limit may be lower.
            threads: of ONNX Runtime.
            providers: execution providers to try, best first.

        Raises:
            Invalid: the artifact holds no encoder.
            Refused: ONNX Runtime cannot load the graph, or it is not the encoder the manifest describes.
        """
        shape = artifact.manifest.shape
        if not isinstance(shape, EncoderShape):
            raise Invalid(f"{artifact.manifest.model} is a model for {artifact.manifest.task}, not an encoder.")
        self._shape = shape
        self.context_tokens = min(context_tokens, shape.context_tokens)
        self.vocabulary = shape.vocabulary
        self._session = load_graph(artifact, threads, providers=providers)
        self.providers = running(self._session)
        wanted = {"input_ids", "attention_mask"} | ({"token_type_ids"} if shape.token_types else set())
        widths = [node.shape[-1] for node in self._session.get_outputs() if node.name == HIDDEN]
        if {node.name for node in self._session.get_inputs()} != wanted or widths != [shape.width]:
            raise Refused(f"{artifact.graph} is not the encoder its manifest describes; build the artifact again.")

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return self._shape.width

    def embed(self, texts: Sequence[Sequence[int]]) -> Floats:
        """One vector for each text.

        Args:
            texts: tokens of each, none empty, none longer than `context_tokens`.

        Returns:
            Shape [texts, width].

        Raises:
            Unavailable: ONNX Runtime failed.
        """
        hidden, mask = read_together(self._session, HIDDEN, texts, token_types=self._shape.token_types)
        return self._pooled(hidden, mask)

    def _pooled(self, hidden: Floats, mask: NDArray[np.int64]) -> Floats:
        if self._shape.pooling == "cls":
            vectors = hidden[:, 0]
        else:
            weights = mask[:, :, None].astype(np.float32)
            vectors = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
        return unit(vectors) if self._shape.normalized else vectors


def read_together(
    session: Any, output: str, texts: Sequence[Sequence[int]], *, token_types: bool
) -> tuple[Floats, NDArray[np.int64]]:
    """Run a graph over texts of different lengths.

    Args:
        session: of the graph.
        output: which of its outputs is wanted.
        texts: tokens of each; none empty.
        token_types: whether it asks for the part that each token belongs to; of a `TokenPair` the second is part 1.

    Returns:
        The output, [texts, ...], and the mask, [texts, longest], which is 1 where a text has a token.

    Raises:
        Unavailable: ONNX Runtime failed.
    """
    ids = np.zeros((len(texts), max(len(text) for text in texts)), np.int64)
    mask, types = np.zeros_like(ids), np.zeros_like(ids)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = text
        mask[row, : len(text)] = 1
        if isinstance(text, TokenPair):
            types[row, text.second : len(text)] = 1
    feeds = {"input_ids": ids, "attention_mask": mask} | ({"token_type_ids": types} if token_types else {})
    try:
        (found,) = session.run([output], feeds)
    except Exception as exc:  # the library's errors share no base class but Exception
        raise Unavailable(f"The model step failed: {first_line(exc)}", retry_in_s=1.0) from exc
    return np.asarray(found, np.float32), mask


def unit(vectors: Floats) -> Floats:
    """The same directions with length 1; a vector of nothing but zeros stays."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(lengths == 0, 1, lengths), np.float32)
