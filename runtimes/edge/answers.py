"""What the server writes back: answers, stream chunks and errors in OpenAI's shapes.

Pure. Called by `runtimes.edge.server` and `runtimes.edge.replies`. What clients may ask is in `runtimes.edge.wishes`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtimes.edge.generation import Expired, Finish, Full, TooLong
from runtimes.edge.wishes import BadField, UnknownModel
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
class Envelope:
    """What all messages of one answer share; `made_s` is Unix time."""

    name: str
    model: str
    made_s: int
    chat: bool

    def whole(self, text: str, finish: Finish, usage: Usage) -> Json:
        """The answer in one message."""
        choice: Json = {"index": 0, "finish_reason": finish.value, "logprobs": None}
        choice |= {"message": {"role": "assistant", "content": text, "refusal": None}} if self.chat else {"text": text}
        kind = "chat.completion" if self.chat else "text_completion"
        return {**self._head(kind), "choices": [choice], "usage": usage.body()}

    def opening(self) -> bytes:
        """First event of a chat stream: who speaks."""
        return self._event(self._choice({"role": "assistant", "content": ""}, None))

    def chunk_parts(self) -> tuple[bytes, bytes]:
        """What stands before and after the JSON string of a text chunk; written once per answer."""
        before, after = self._event(self._choice({"content": NEVER}, None)).split(json.dumps(NEVER).encode())
        return before, after

    def closing(self, finish: Finish) -> bytes:
        """Last event that has a choice."""
        return self._event(self._choice({}, finish))

    def usage(self, usage: Usage) -> bytes:
        """The extra event for `include_usage`."""
        return event({**self._head(self._chunk_kind), "choices": [], "usage": usage.body()})

    @property
    def _chunk_kind(self) -> str:
        return "chat.completion.chunk" if self.chat else "text_completion"

    def _head(self, kind: str) -> Json:
        return {"id": self.name, "object": kind, "created": self.made_s, "model": self.model}

    def _choice(self, delta: Json, finish: Finish | None) -> Json:
        choice: Json = {"index": 0, "finish_reason": finish and finish.value, "logprobs": None}
        return choice | ({"delta": delta} if self.chat else {"text": delta.get("content", "")})

    def _event(self, choice: Json) -> bytes:
        return event({**self._head(self._chunk_kind), "choices": [choice]})


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
