"""What the server writes back: answers, stream chunks and errors in OpenAI's shapes.

Pure. Called by `runtimes.edge.server`, `runtimes.edge.generating` and
`runtimes.edge.replies`. What clients may ask is in `runtimes.edge.wishes`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from runtimes.edge.calls import Call
from runtimes.edge.complaints import BadField, UnknownModel
from runtimes.edge.generation import Expired, Finish, Full, TooLong
from runtimes.edge.probabilities import Chosen
from runtimes.edge.tokens import Vocabulary
from runtimes.errors import HeadwaterError, Invalid, Unavailable

DONE = b"data: [DONE]\n\n"
NEVER = "\0text\0"  # stands for the text while a chunk's fixed parts are written once

Json = dict[str, Any]


@dataclass(frozen=True)
class Usage:
    """Token counts of one request."""

    prompt_tokens: int
    completion_tokens: int
    reused_tokens: int = 0  # of the prompt, that were in the caches already

    def body(self) -> Json:
        """As OpenAI writes it."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.reused_tokens},
        }


@dataclass(frozen=True)
class Said:
    """One answer; `logprobs` is as `Telling` writes it."""

    text: str
    finish: Finish
    calls: Sequence[Call] = ()
    logprobs: Json | None = None


class Telling:
    """Writes what is told of an answer's tokens, in OpenAI's shape for chat or for completions."""

    def __init__(self, vocabulary: Vocabulary, top: int, *, chat: bool) -> None:
        self._vocabulary = vocabulary
        self._top = top
        self._chat = chat
        self._offset = 0  # characters of the tokens before

    def of(self, chosen: Sequence[Chosen]) -> Json:
        """The next tokens of the answer."""
        if self._chat:
            return {"content": [self._with_top(one) for one in chosen], "refusal": None}
        texts = [self._text(one.token) for one in chosen]
        *offsets, self._offset = accumulate(map(len, texts), initial=self._offset)
        return {
            "tokens": texts,
            "token_logprobs": [one.logprob for one in chosen],
            "top_logprobs": [{self._text(token): logprob for token, logprob in reversed(one.top)} for one in chosen]
            if self._top
            else None,
            "text_offset": offsets,
        }

    def _text(self, token: int) -> str:
        return self._vocabulary.spelled(token).decode(errors="replace")

    def _one(self, token: int, logprob: float) -> Json:
        return {"token": self._text(token), "logprob": logprob, "bytes": list(self._vocabulary.spelled(token))}

    def _with_top(self, one: Chosen) -> Json:
        return self._one(one.token, one.logprob) | {"top_logprobs": [self._one(*other) for other in one.top]}


@dataclass(frozen=True)
class Envelope:
    """What all messages of one answer share; `made_s` is Unix time."""

    name: str
    model: str
    made_s: int
    chat: bool

    def whole(self, said: Sequence[Said], usage: Usage) -> Json:
        """All answers in one message."""
        kind = "chat.completion" if self.chat else "text_completion"
        choices = [self._whole_choice(index, one) for index, one in enumerate(said)]
        return {**self._head(kind), "choices": choices, "usage": usage.body()}

    def _whole_choice(self, index: int, said: Said) -> Json:
        choice: Json = {"index": index, "finish_reason": _ended(said.finish, said.calls), "logprobs": said.logprobs}
        if not self.chat:
            return choice | {"text": said.text}
        message: Json = {"role": "assistant", "content": said.text, "refusal": None}
        if said.calls:
            message |= {"content": said.text or None, "tool_calls": [call.body() for call in said.calls]}
        return choice | {"message": message}

    def opening(self, index: int) -> bytes:
        """First event of a chat stream: who speaks."""
        return self._event(self._choice(index, {"role": "assistant", "content": ""}))

    def chunk_parts(self, index: int) -> tuple[bytes, bytes]:
        """What stands before and after the JSON string of a text chunk; written once per answer."""
        before, after = self._event(self._choice(index, {"content": NEVER})).split(json.dumps(NEVER).encode())
        return before, after

    def chunk(self, index: int, text: str, logprobs: Json | None) -> bytes:
        """A text chunk with what it tells of its tokens."""
        return self._event(self._choice(index, {"content": text}) | {"logprobs": logprobs})

    def call_chunk(self, index: int, at: int, call: Call) -> bytes:
        """A call of a tool, the `at`-th of its answer."""
        return self._event(self._choice(index, {"tool_calls": [{"index": at, **call.body()}]}))

    def closing(self, index: int, finish: Finish, *, called: bool) -> bytes:
        """Last event of a choice."""
        return self._event(self._choice(index, {}) | {"finish_reason": _ended(finish, called)})

    def usage(self, usage: Usage) -> bytes:
        """The extra event for `include_usage`."""
        return event({**self._head(self._chunk_kind), "choices": [], "usage": usage.body()})

    @property
    def _chunk_kind(self) -> str:
        return "chat.completion.chunk" if self.chat else "text_completion"

    def _head(self, kind: str) -> Json:
        return {"id": self.name, "object": kind, "created": self.made_s, "model": self.model}

    def _choice(self, index: int, delta: Json) -> Json:
        choice: Json = {"index": index, "finish_reason": None, "logprobs": None}
        return choice | ({"delta": delta} if self.chat else {"text": delta.get("content", "")})

    def _event(self, choice: Json) -> bytes:
        return event({**self._head(self._chunk_kind), "choices": [choice]})


def _ended(finish: Finish, calls: object) -> str:
    return "tool_calls" if calls and finish is Finish.STOP else finish.value


def event(body: Mapping[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"


def models(names: Sequence[str], made_s: int) -> Json:
    """The list of served names."""
    return {"object": "list", "data": [model(name, made_s) for name in names]}


def model(name: str, made_s: int) -> Json:
    """One served name."""
    return {"id": name, "object": "model", "created": made_s, "owned_by": "headwater"}


@dataclass(frozen=True)
class Fault:
    """An error on its way out."""

    status: int
    message: str
    kind: str = "invalid_request_error"
    code: str | None = None
    param: str | None = None
    retry_in_s: float | None = None

    def body(self) -> Json:
        """As OpenAI writes it."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}

    def headers(self) -> dict[str, str]:
        """When to come back, if that helps."""
        return {} if self.retry_in_s is None else {"Retry-After": str(max(1, math.ceil(self.retry_in_s)))}


def fault(error: HeadwaterError) -> Fault:
    """The status that tells the client what to do."""
    message = str(error)
    if isinstance(error, Unavailable):
        return _not_now(error)
    match error:
        case UnknownModel():
            return Fault(404, message, code="model_not_found", param=error.param)
        case TooLong():
            return Fault(400, message, code="context_length_exceeded")
        case Invalid():
            return Fault(400, message, param=error.param if isinstance(error, BadField) else None)
        case _:
            return Fault(500, message, "server_error")


def _not_now(error: Unavailable) -> Fault:
    match error:
        case Full():
            status, kind, code = 429, "rate_limit_exceeded", "queue_full"
        case Expired():
            status, kind, code = 504, "timeout", "deadline_exceeded"
        case _:
            status, kind, code = 503, "service_unavailable", "unavailable"
    return Fault(status, str(error), kind, code, retry_in_s=error.retry_in_s)
