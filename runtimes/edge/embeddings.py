"""`POST /v1/embeddings`, in OpenAI's shape.

A text longer than the model reads is refused, never cut. Tokens given as numbers are read as they are, without the
marks that the tokenizer adds to a text. Vectors are made in `runtimes.edge.encoding`. Called by `runtimes.edge.server`.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from runtimes.edge.complaints import BadField, read
from runtimes.edge.encoder import Floats, unit
from runtimes.edge.encoding import Encoding
from runtimes.edge.metrics import EdgeMetrics, Outcome
from runtimes.edge.tokens import Vocabulary

MOST_INPUTS = 2048  # as OpenAI allows

Token = Annotated[int, Field(ge=0)]
Some = Field(min_length=1, max_length=MOST_INPUTS)


@dataclass(frozen=True)
class EncoderServed:
    """What the server answers with; `names` are the model names it goes by, the first one in `/v1/models`."""

    does: ClassVar[str] = "makes embeddings"
    ask: ClassVar[str] = "/v1/embeddings"

    engine: Encoding
    vocabulary: Vocabulary
    names: tuple[str, ...]
    made_s: int


class EmbeddingWish(BaseModel):
    """Body of `POST /v1/embeddings`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str
    input: str | Annotated[list[str], Some] | Annotated[list[Token], Some] | Annotated[list[list[Token]], Some]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(default=None, ge=1)
    user: str | None = None

    @property
    def texts(self) -> list[str | list[int]]:
        """The inputs, each a text or its tokens."""
        if isinstance(self.input, str):
            return [self.input]
        numbers = [one for one in self.input if isinstance(one, int)]
        return [numbers] if numbers else [one for one in self.input if not isinstance(one, int)]


async def answer(body: bytes, named: Callable[[str], object], metrics: EdgeMetrics) -> web.Response:
    """Answer one request.

    Args:
        body: as it came.
        named: what is served under a model's name.
        metrics: where it is counted.

    Raises:
        HeadwaterError: the body is wrong, a text is too long, or there is no room now.
    """
    wish = read(EmbeddingWish, body)
    served = named(wish.model)
    if not isinstance(served, EncoderServed):
        raise BadField(f"{wish.model[:100]!r} makes no embeddings.", param="model")
    width = served.engine.encoder.width
    if wish.dimensions is not None and wish.dimensions > width:
        raise BadField(f"dimensions is {wish.dimensions}; this model has {width}.", param="dimensions")
    texts = await asyncio.get_running_loop().run_in_executor(None, _tokens, wish.texts, served)
    vectors = served.engine.submit(texts)
    count = sum(len(text) for text in texts)
    metrics.accepted(count)
    try:
        found = await vectors
    except asyncio.CancelledError:
        metrics.ended(Outcome.LEFT)
        raise
    metrics.ended(Outcome.ANSWERED)
    data = [
        {"object": "embedding", "index": index, "embedding": _written(vector, wish)}
        for index, vector in enumerate(found)
    ]
    usage = {"prompt_tokens": count, "total_tokens": count}
    return web.json_response({"object": "list", "data": data, "model": wish.model, "usage": usage})


def _tokens(texts: Sequence[str | list[int]], served: EncoderServed) -> list[list[int]]:
    found: list[list[int]] = []
    for index, text in enumerate(texts):
        if not text:
            raise BadField(f"input {index} is empty; give at least one character or token.", param="input")
        tokens = served.vocabulary.encode(text, special=True) if isinstance(text, str) else text
        if not tokens:
            raise BadField(f"input {index} has no token in this model's vocabulary.", param="input")
        if max(tokens) >= served.engine.encoder.vocabulary:
            raise BadField(
                f"input {index}: token {max(tokens)} does not exist; the vocabulary has "
                f"{served.engine.encoder.vocabulary}.",
                param="input",
            )
        found.append(tokens)
    return found


def _written(vector: Floats, wish: EmbeddingWish) -> Any:
    if wish.dimensions is not None and wish.dimensions < len(vector):
        vector = unit(vector[: wish.dimensions])
    return (
        base64.b64encode(vector.astype("<f4").tobytes()).decode()
        if wish.encoding_format == "base64"
        else vector.tolist()
    )
