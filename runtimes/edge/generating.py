"""Chat and plain completions: from a body to the answers, through the prompt, the grammar and the engine.

Bodies are checked in `runtimes.edge.wishes`, answers are sent in `runtimes.edge.replies`. Called by
`runtimes.edge.server`.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from aiohttp import web

from runtimes.edge.answers import Envelope, Telling
from runtimes.edge.calls import OPEN, CallReader
from runtimes.edge.chat import ChatTemplate, prompt_tokens, text_size
from runtimes.edge.complaints import BadField, read
from runtimes.edge.engine import Engine
from runtimes.edge.generation import Ask, Generation
from runtimes.edge.grammar import Grammar, Grammars
from runtimes.edge.knobs import LARGEST_SEED
from runtimes.edge.metrics import EdgeMetrics, Outcome
from runtimes.edge.replies import Reader, stream, whole
from runtimes.edge.tokens import Vocabulary
from runtimes.edge.tools import ANY_ARGUMENTS, Offer
from runtimes.edge.wishes import ChatWish, CompletionWish, Wish
from runtimes.errors import Invalid, Refused

LONG_TEXT = 8192  # characters; longer prompts are tokenized off the event loop


@dataclass(frozen=True)
class Served:
    """What the server answers with; `names` are the model names it goes by, the first one in `/v1/models`."""

    engine: Engine
    vocabulary: Vocabulary
    chat: ChatTemplate | None
    grammars: Grammars
    names: tuple[str, ...]
    made_s: int


Named = Callable[[str], Served]


async def chat(request: web.Request, body: bytes, named: Named, metrics: EdgeMetrics) -> web.StreamResponse:
    """Answer `POST /v1/chat/completions`.

    Args:
        request: where the answer goes.
        body: what came.
        named: what is served under a model's name.
        metrics: where it is counted.

    Raises:
        HeadwaterError: the body is wrong, the model cannot do it, or there is no room now.
    """
    wish = read(ChatWish, body)
    served = named(wish.model)
    if served.chat is None:
        raise Invalid("This model has no chat template; use /v1/completions.")
    offer = wish.offer
    if offer is not None and (not served.chat.calls_tools or served.vocabulary.control_places(OPEN)):
        raise BadField(f"tools: this model was not taught to call tools as {OPEN}; leave them out.", param="tools")
    messages = [message.plain() for message in wish.messages]
    tools = [] if offer is None else [tool.plain() for tool in offer.tools]
    prompt = partial(prompt_tokens, served.chat, served.vocabulary, messages, tools)
    try:
        tokens = await _apart(text_size([*messages, *tools]), prompt)
    except RecursionError as exc:
        raise BadField("The arguments of a call in messages are nested too deeply.", param="messages") from exc
    return await _answer(request, served, wish, tokens, metrics)


async def complete(request: web.Request, body: bytes, named: Named, metrics: EdgeMetrics) -> web.StreamResponse:
    """Answer `POST /v1/completions`; arguments and errors are those of `chat`."""
    wish = read(CompletionWish, body)
    served = named(wish.model)
    return await _answer(request, served, wish, await _prompt_tokens(served.vocabulary, wish), metrics)


async def _answer(
    request: web.Request, served: Served, wish: Wish, prompt: list[int], metrics: EdgeMetrics
) -> web.StreamResponse:
    generations = _submitted(served, await _ask(served, wish, prompt), wish.tries)
    metrics.accepted(len(prompt))
    is_chat = isinstance(wish, ChatWish)
    name = ("chatcmpl-" if is_chat else "cmpl-") + uuid.uuid4().hex
    envelope = Envelope(name, wish.model, int(time.time()), is_chat)
    readers = [_reader(generation, served, wish, metrics) for generation in generations]
    outcome = Outcome.ANSWERED
    try:
        if wish.stream:
            response, outcome = await stream(request, readers, envelope, with_usage=wish.with_usage)
        else:
            response = await whole(readers, envelope, count=wish.answers)
    except (asyncio.CancelledError, ConnectionError):
        metrics.ended(Outcome.LEFT)
        raise
    else:
        metrics.ended(outcome)
        return response
    finally:
        for reader in readers:
            reader.close()


async def _ask(served: Served, wish: Wish, prompt: list[int]) -> Ask:
    asked_tokens = wish.asked_tokens
    sampling = wish.sampling
    unknown = max((token for token, _ in sampling.logit_bias), default=0)
    if unknown >= served.vocabulary.size:
        raise _no_such_token(unknown, served.vocabulary, "logit_bias")
    compared = 0 if wish.tries > wish.answers else None  # the likeliest answer is known by its tokens
    return Ask(
        tuple(prompt),
        wish.usual_tokens if asked_tokens is None else asked_tokens,
        sampling,
        wish.stops,
        grammar=await _grammar(served.grammars, wish),
        logprobs=compared if wish.shown_logprobs is None else wish.shown_logprobs,
        priority=wish.priority,
        client=wish.client,
        timeout_s=wish.timeout_s,
        shorten=asked_tokens is None,
    )


def _submitted(served: Served, ask: Ask, tries: int) -> list[Generation]:
    """Ask for all answers or for none; after the first, each finds most of the prompt read."""
    generations: list[Generation] = []
    try:
        for number in range(tries):
            seed = ask.sampling.seed
            numbered = seed if seed is None else (seed + number) % (LARGEST_SEED + 1)
            sampling = replace(ask.sampling, seed=numbered)
            generations.append(served.engine.submit(replace(ask, sampling=sampling)))
    except BaseException:
        for generation in generations:
            generation.cancel()
        raise
    return generations


def _reader(generation: Generation, served: Served, wish: Wish, metrics: EdgeMetrics) -> Reader:
    shown, offer = wish.shown_logprobs, wish.offer
    return Reader(
        generation,
        metrics,
        telling=None if shown is None else Telling(served.vocabulary, shown, chat=isinstance(wish, ChatWish)),
        calls=None if offer is None else CallReader(offer.names, single=offer.single),
    )


async def _prompt_tokens(vocabulary: Vocabulary, wish: CompletionWish) -> list[int]:
    prompt = wish.prompt
    texts = [prompt] if isinstance(prompt, str) else [item for item in prompt if isinstance(item, str)]
    if texts:
        return await _apart(len(texts[0]), partial(vocabulary.encode, texts[0], special=True))
    tokens = [item for item in prompt if isinstance(item, int)]
    if tokens and max(tokens) >= vocabulary.size:
        raise _no_such_token(max(tokens), vocabulary, "prompt")
    return tokens


async def _grammar(grammars: Grammars, wish: Wish) -> Grammar | None:
    """What binds the answer; compiled off the event loop, for a large schema takes a second."""
    schema, offer = wish.schema_to_follow, wish.offer
    if schema is not None:
        param, compiling = "response_format", partial(grammars.compile, schema)
    elif offer is not None and offer.bound:
        param, compiling = "tools", partial(grammars.compile_calls, _schemas(offer), single=offer.single)
    else:
        return None
    try:
        return await asyncio.get_running_loop().run_in_executor(None, compiling)
    except (Invalid, Refused) as exc:
        raise BadField(f"{param}: {exc}", param=param) from exc


def _schemas(offer: Offer) -> dict[str, Mapping[str, Any]]:
    return {one.name: ANY_ARGUMENTS if one.parameters is None else one.parameters for one in offer.bound}


def _no_such_token(token: int, vocabulary: Vocabulary, param: str) -> BadField:
    return BadField(f"{param}: token {token} does not exist; the vocabulary has {vocabulary.size}.", param=param)


async def _apart(size: int, tokens: Callable[[], list[int]]) -> list[int]:
    """Make the tokens of a text of so many characters; a long one does not hold up the event loop."""
    return tokens() if size <= LONG_TEXT else await asyncio.get_running_loop().run_in_executor(None, tokens)
