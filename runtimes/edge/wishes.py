"""What a client may write: the bodies of the OpenAI calls for text, checked strictly and turned into an `Ask`'s parts.

Pure. A parameter that would change the answer and is not supported is refused honestly; one that would not is ignored.
Without `max_tokens` a plain completion ends after `COMPLETION_TOKENS` and a chat answer after `CHAT_TOKENS`, or where
the context ends; OpenAI's chat has no such cap, but an answer that fills the context holds a slot for minutes. Called
by `runtimes.edge.generating`. What is answered is in `runtimes.edge.answers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from runtimes.edge.complaints import LONGEST_STOP, MOST_STOPS, BadField
from runtimes.edge.formats import ResponseFormat
from runtimes.edge.knobs import Knobs
from runtimes.edge.messages import LONGEST_NAME, ChatMessage
from runtimes.edge.tools import MOST_TOOLS, Offer, Tool, ToolChoice, offered

MOST_MESSAGES = 1024
MOST_ANSWERS = 8
MOST_LOGPROBS = 20
COMPLETION_TOKENS = 16  # OpenAI's default for plain completions
CHAT_TOKENS = 1024  # of a chat answer whose request sets no limit
LOWEST_PRIORITY = 100
LONGEST_TIMEOUT_S = 3600.0

HARMLESS = frozenset({"store", "metadata", "service_tier", "prompt_cache_key"})
# Parameters that change the answer, with the values that ask for nothing; some are fields of the other call.
UNSUPPORTED: Mapping[str, tuple[Any, ...]] = {
    "tools": (None, []),
    "tool_choice": (None, "none", "auto"),
    "parallel_tool_calls": (None, False, True),
    "top_logprobs": (None, 0),
    "best_of": (None, 1),
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "echo": (None, False),
    "suffix": (None, ""),
    "modalities": (None, ["text"]),
    "audio": (None,),
    "prediction": (None,),
    "reasoning_effort": (None,),
    "verbosity": (None,),
    "web_search_options": (None,),
}


class StreamOptions(BaseModel):
    """Extras of a streamed answer."""

    model_config = ConfigDict(extra="forbid", strict=True)

    include_usage: bool = False
    include_obfuscation: bool = False


Stop = Annotated[str, Field(min_length=1, max_length=LONGEST_STOP)]


class Wish(Knobs):
    """What chat and plain completions share."""

    model_config = ConfigDict(extra="allow")

    usual_tokens: ClassVar[int]  # most tokens of an answer whose request sets no limit

    model: str
    max_tokens: int | None = Field(default=None, ge=1)
    stop: Stop | Annotated[list[Stop], Field(max_length=MOST_STOPS)] | None = None
    n: int | None = Field(default=None, ge=1, le=MOST_ANSWERS)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    # Who shares the engine with whom: OpenAI's names for the end user, and vLLM's for the order.
    user: str | None = Field(default=None, max_length=LONGEST_NAME)
    safety_identifier: str | None = Field(default=None, max_length=LONGEST_NAME)
    priority: int = Field(default=0, ge=-LOWEST_PRIORITY, le=LOWEST_PRIORITY)
    timeout_s: float | None = Field(default=None, gt=0, le=LONGEST_TIMEOUT_S)

    @model_validator(mode="after")
    def _only_what_is_supported(self) -> Wish:
        if self.stream_options is not None and not self.stream:
            raise BadField("stream_options is only for streamed answers; set stream to true.", param="stream_options")
        if self.stops and self.schema_to_follow is not None:
            raise BadField(
                "stop would cut the JSON that response_format asks for; leave one of them out.", param="stop"
            )
        for name, value in (self.model_extra or {}).items():
            if name in HARMLESS or (name in UNSUPPORTED and value in UNSUPPORTED[name]):
                continue
            if name in UNSUPPORTED:
                raise BadField(f"{name} is not supported by this server; leave it out.", param=name)
            raise BadField(f"{name[:80]!r} is not a parameter of this call.", param=name[:80])
        return self

    @property
    def answers(self) -> int:
        """How many answers to give."""
        return self.n or 1

    @property
    def tries(self) -> int:
        """How many answers to make, of which the likeliest are given."""
        return self.answers

    @property
    def shown_logprobs(self) -> int | None:
        """How many of the likeliest tokens to show at each place; None for not even the one taken."""
        return None

    @property
    def offer(self) -> Offer | None:
        """What the answer may call."""
        return None

    @property
    def asked_tokens(self) -> int | None:
        """Most tokens of the answer, if the client sets a limit."""
        return self.max_tokens

    @property
    def client(self) -> str:
        """Whose share of the engine the request takes; the newer name goes first."""
        return self.safety_identifier or self.user or ""

    @property
    def stops(self) -> tuple[str, ...]:
        """Strings that end the answer."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def schema_to_follow(self) -> Mapping[str, Any] | None:
        """The JSON Schema that the answer has to satisfy, if any."""
        return None if self.response_format is None else self.response_format.schema_to_follow()

    @property
    def with_usage(self) -> bool:
        """Whether a streamed answer ends with its token counts."""
        return self.stream_options is not None and self.stream_options.include_usage


class ChatWish(Wish):
    """Body of `POST /v1/chat/completions`."""

    usual_tokens = CHAT_TOKENS

    messages: list[ChatMessage] = Field(min_length=1, max_length=MOST_MESSAGES)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=MOST_LOGPROBS)
    tools: Annotated[list[Tool], Field(max_length=MOST_TOOLS)] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None

    @model_validator(mode="after")
    def _together(self) -> ChatWish:
        if self.top_logprobs is not None and not self.logprobs:
            raise BadField(
                "top_logprobs is only for answers with logprobs; set logprobs to true.", param="top_logprobs"
            )
        offer = self.offer
        if offer is not None and self.schema_to_follow is not None:
            raise BadField(
                "An answer that follows response_format cannot call tools; leave one of them out.",
                param="response_format",
            )
        if offer is not None and offer.bound and self.stops:
            raise BadField("stop would cut the call that tool_choice asks for; leave one of them out.", param="stop")
        return self

    @property
    def shown_logprobs(self) -> int | None:
        """How many of the likeliest tokens to show at each place; None for not even the one taken."""
        return self.top_logprobs or 0 if self.logprobs else None

    @property
    def offer(self) -> Offer | None:
        """What the answer may call."""
        return offered(self.tools, self.tool_choice, parallel=self.parallel_tool_calls is not False)

    @property
    def asked_tokens(self) -> int | None:
        """Most tokens of the answer, if the client sets a limit; the newer name goes first."""
        return self.max_completion_tokens or self.max_tokens


Token = Annotated[int, Field(ge=0)]


class CompletionWish(Wish):
    """Body of `POST /v1/completions`."""

    usual_tokens = COMPLETION_TOKENS

    prompt: str | list[Token] | Annotated[list[str], Field(min_length=1, max_length=1)]
    logprobs: int | None = Field(default=None, ge=0, le=MOST_LOGPROBS)
    best_of: int | None = Field(default=None, ge=1, le=MOST_ANSWERS)

    @model_validator(mode="after")
    def _enough_tries(self) -> CompletionWish:
        if self.best_of is not None and self.best_of < self.answers:
            raise BadField(f"best_of must be at least n, which is {self.answers}.", param="best_of")
        if self.stream and self.tries > self.answers:
            raise BadField("best_of cannot be streamed: which answer is best shows at the end.", param="best_of")
        return self

    @property
    def tries(self) -> int:
        """How many answers to make, of which the likeliest are given."""
        return self.best_of or self.answers

    @property
    def shown_logprobs(self) -> int | None:
        """How many of the likeliest tokens to show at each place; None for not even the one taken."""
        return self.logprobs
