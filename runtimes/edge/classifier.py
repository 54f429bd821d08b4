"""The classifier graph: texts, or pairs of them, as tokens to a score for each label.

Opened by `runtimes.edge.session`. Which texts go together is decided in `runtimes.edge.encoding`, whose thread alone
calls this. Made by `runtimes.edge.replica`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from runtimes.contract import ClassifierShape
from runtimes.edge.artifact import Artifact
from runtimes.edge.encoder import Floats, read_together
from runtimes.edge.session import load_graph, running
from runtimes.errors import Invalid, Refused

SCORES = "logits"


class Classifier:
    """Runs the graph over a batch of texts. Not thread-safe."""

    def __init__(self, artifact: Artifact, *, context_tokens: int, threads: int, providers: Sequence[str] = ()) -> None:
        """Load the graph.

        Args:
            artifact: of a classifier or reranker.
            context_tokens: longest text wished for; the model's own limit may be lower.
            threads: of ONNX Runtime.
            providers: execution providers to try, best first.

        Raises:
            Invalid: the artifact holds no classifier.
            Refused: ONNX Runtime cannot load the graph, or it is not the classifier the manifest describes.
        """
        shape = artifact.manifest.shape
        if not isinstance(shape, ClassifierShape):
            raise Invalid(f"{artifact.manifest.model} is a model for {artifact.manifest.task}, not a classifier.")
        self._shape = shape
        self.context_tokens = min(context_tokens, shape.context_tokens)
        self.vocabulary = shape.vocabulary
        self.labels = shape.labels
        self._session = load_graph(artifact, threads, providers=providers)
        self.providers = running(self._session)
        wanted = {"input_ids", "attention_mask"} | ({"token_type_ids"} if shape.token_types else set())
        scored = [node.shape[-1] for node in self._session.get_outputs() if node.name == SCORES]
        if {node.name for node in self._session.get_inputs()} != wanted or scored != [len(shape.labels)]:
            raise Refused(f"{artifact.graph} is not the classifier its manifest describes; build the artifact again.")

    @property
    def width(self) -> int:
        """Labels."""
        return len(self.labels)

    def embed(self, texts: Sequence[Sequence[int]]) -> Floats:
        """A score for each label of each text.

        Args:
            texts: tokens of each, none empty, none longer than `context_tokens`; pairs as `runtimes.edge.tokens` makes
                them.

        Returns:
            Shape [texts, labels].

        Raises:
            Unavailable: ONNX Runtime failed.
        """
        numbers, _ = read_together(self._session, SCORES, texts, token_types=self._shape.token_types)
        return activated(numbers, self._shape.activation)


def activated(numbers: Floats, activation: str) -> Floats:
    """The graph's numbers, [texts, labels], as scores."""
    if activation == "softmax":
        powers = np.exp(numbers - numbers.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)
    if activation == "identity":
        return numbers
    return np.asarray(1 / (1 + np.exp(-numbers.astype(np.float64))), np.float32)
