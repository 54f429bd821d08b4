"""`POST /v1/rerank` and `/classify`, as vLLM answers them.

A query with its document longer than the model reads is refused, never cut. Scores are made in
`runtimes.edge.classifier` on the thread of `runtimes.edge.encoding`. Called by `runtimes.edge.server`.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from runtimes.edge.complaints import BadField, read
from runtimes.edge.encoder import Floats
from runtimes.edge.encoding import Encoding
from runtimes.edge.metrics import EdgeMetrics, Outcome
from runtimes.edge.tokens import Vocabulary

MOST_TEXTS = 2048
RERANK_PATHS = ("/v1/rerank", "/rerank")
CLASSIFY_PATH = "/classify"

Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[list[Text], Field(min_length=1, max_length=MOST_TEXTS)]


@dataclass(frozen=True)
class ClassifierServed:
    """What the server answers with; `names` are the model names it goes by, the first one in `/v1/models`."""

    does: ClassVar[str] = "scores texts"
    ask: ClassVar[str] = "/v1/rerank or /classify"

    engine: Encoding
    vocabulary: Vocabulary
    labels: tuple[str, ...]
    names: tuple[str, ...]
    made_s: int


class RerankWish(BaseModel):
    """Body of `POST /v1/rerank`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str
    query: Text
    documents: Texts
    top_n: int | None = Field(default=None, ge=0, description="Best documents to answer; 0 or none for all.")
    return_documents: bool = True
    user: str | None = None


class ClassifyWish(BaseModel):
    """Body of `POST /classify`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str
    input: Text | Texts
    user: str | None = None


Named = Callable[[str], object]


async def rerank(body: bytes, named: Named, metrics: EdgeMetrics) -> web.Response:
    """Order documents by how well they fit a query.

    Args:
        body: as it came.
        named: what is served under a model's name.
        metrics: where it is counted.

    Raises:
        HeadwaterError: the body is wrong, a text is too long, or there is no room now.
    """
    wish = read(RerankWish, body)
    served = _serving(named, wish.model)
    if len(served.labels) > 1:
        raise BadField(
            f"{wish.model[:100]!r} chooses between {len(served.labels)} labels; ask {CLASSIFY_PATH}.", param="model"
        )
    scores, count = await _scores([(wish.query, document) for document in wish.documents], served, metrics)
    order = sorted(range(len(scores)), key=lambda index: -float(scores[index][0]))
    results = [
        {"index": index}
        | ({"document": {"text": wish.documents[index]}} if wish.return_documents else {})
        | {"relevance_score": float(scores[index][0])}
        for index in order[: wish.top_n or None]
    ]
    usage = {"prompt_tokens": count, "total_tokens": count}
    return web.json_response(
        {"id": "rerank-" + uuid.uuid4().hex, "model": wish.model, "results": results, "usage": usage}
    )


async def classify(body: bytes, named: Named, metrics: EdgeMetrics) -> web.Response:
    """Say which label fits each text.

    Args:
        body: as it came.
        named: what is served under a model's name.
        metrics: where it is counted.

    Raises:
        HeadwaterError: the body is wrong, a text is too long, or there is no room now.
    """
    wish = read(ClassifyWish, body)
    served = _serving(named, wish.model)
    texts = [wish.input] if isinstance(wish.input, str) else wish.input
    scores, count = await _scores(texts, served, metrics)
    answers: list[dict[str, Any]] = [
        {
            "index": index,
            "label": served.labels[int(one.argmax())],
            "probs": one.tolist(),
            "num_classes": len(served.labels),
        }
        for index, one in enumerate(scores)
    ]
    usage = {"prompt_tokens": count, "total_tokens": count, "completion_tokens": 0}
    return web.json_response(
        {
            "id": "classify-" + uuid.uuid4().hex,
            "object": "list",
            "created": served.made_s,
            "model": wish.model,
            "data": answers,
            "usage": usage,
        }
    )


def _serving(named: Named, model: str) -> ClassifierServed:
    served = named(model)
    if not isinstance(served, ClassifierServed):
        raise BadField(f"{model[:100]!r} is no reranker and no classifier.", param="model")
    return served


async def _scores(
    texts: Sequence[str | tuple[str, str]], served: ClassifierServed, metrics: EdgeMetrics
) -> tuple[list[Floats], int]:
    """A score for each label of each text, and the tokens of all."""
    tokens = await asyncio.get_running_loop().run_in_executor(None, _tokens, texts, served)
    pending = served.engine.submit(tokens)
    count = sum(len(one) for one in tokens)
    metrics.accepted(count)
    try:
        found = await pending
    except asyncio.CancelledError:
        metrics.ended(Outcome.LEFT)
        raise
    metrics.ended(Outcome.ANSWERED)
    return found, count


def _tokens(texts: Sequence[str | tuple[str, str]], served: ClassifierServed) -> list[list[int]]:
    vocabulary = served.vocabulary
    found = [
        vocabulary.encode(text, special=True) if isinstance(text, str) else vocabulary.encode_pair(*text)
        for text in texts
    ]
    for index, tokens in enumerate(found):
        if not tokens:
            raise BadField(f"text {index} has no token in this model's vocabulary.", param=None)
    return found
