"""What a client may write: the bodies of the OpenAI calls, checked strictly and turned into an `Ask`'s parts.

Pure. A parameter that would change the answer and is not supported is refused honestly; one that would not is ignored.
Without `max_tokens` a plain completion ends after `COMPLETION_TOKENS` and a chat answer after `CHAT_TOKENS`, or where
the context ends; OpenAI's chat has no such cap, but an answer that fills the context holds a slot for minutes. Called
by `runtimes.edge.server`. What is answered is in `runtimes.edge.answers`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from runtimes.edge import formats
from runtimes.edge.formats import ResponseFormat
from runtimes.edge.knobs import MOST_BIASES, Knobs
from runtimes.errors import Invalid

MOST_MESSAGES = 1024
MOST_STOPS = 4
LONGEST_STOP = 256  # characters
COMPLETION_TOKENS = 16  # OpenAI's default for plain completions
CHAT_TOKENS = 1024  # of a chat answer whose request sets no limit
LOWEST_PRIORITY = 100
LONGEST_TIMEOUT_S = 3600.0
LONGEST_NAME = 256  # characters, of who asks

HARMLESS = frozenset({"store", "metadata", "service_tier", "prompt_cache_key", "parallel_tool_calls"})
# Parameters that change the answer, with the values that ask for nothing.
UNSUPPORTED: Mapping[str, tuple[Any, ...]] = {
    "tools": (None, []),
    "tool_choice": (None, "none", "auto"),
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "best_of": (None, 1),
    "echo": (None, False),
    "suffix": (None, ""),
    "modalities": (None, ["text"]),
    "audio": (None,),
    "prediction": (None,),
    "reasoning_effort": (None,),
    "verbosity": (None,),
    "web_search_options": (None,),
}
# Fields that may be of several kinds: the library would name only the first.
SEVERAL_KINDS: Mapping[str, str] = {
    "prompt": "must be a string, a list of one string, or a list of token numbers",
    "input": "must be a string, a list of strings, a list of token numbers, or a list of such lists",
    "stop": f"must be a string or a list of at most {MOST_STOPS} strings, each of 1 to {LONGEST_STOP} characters",
    "logit_bias": f"must be an object of at most {MOST_BIASES} token numbers, each with a number from -100 to 100",
    "content": 'must be a string or a list of parts like {"type": "text", "text": "..."}; only text is read here',
    "response_format": formats.SPELLED,
}
# What is wrong with a field, by the library's name for it; the rest keeps the library's words.
PLAIN_WORDS: Mapping[str, str] = {
    "missing": "is required",
    "extra_forbidden": "is not known here",
    "model_type": "must be an object",
    "list_type": "must be a list",
    "string_type": "must be a string",
    "int_type": "must be an integer",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "none_required": "must be null",
    "literal_error": "must be {expected}",
    "too_short": "must not be empty",
    "too_long": "must have at most {max_length} items",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
}


class BadField(Invalid):
    """A body is wrong at a named field."""

    def __init__(self, message: str, *, param: str | None) -> None:
        super().__init__(message)
        self.param = param


class UnknownModel(BadField):
    """Another model is asked for than this server has."""


class Part(BaseModel):
    """A piece of a message's content."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["text"]
    text: str


Nothing = Annotated[list[Any], Field(max_length=0)] | None


class ChatMessage(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(extra="forbid", strict=True)

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]
    name: str | None = None
    # What answers carry besides text, here or from another engine; clients send their history back as they got it.
    refusal: None = None
    annotations: Nothing = None
    audio: None = None
    function_call: None = None
    tool_calls: Nothing = None
    reasoning: None = None
    reasoning_content: None = None

    def plain(self) -> dict[str, str]:
        """The turn as chat templates know it."""
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


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
    n: int | None = None
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
        if self.n not in (None, 1):
            raise BadField(f"n is {self.n}; this server gives one answer per request, so n must be 1.", param="n")
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

    @property
    def asked_tokens(self) -> int | None:
        """Most tokens of the answer, if the client sets a limit; the newer name goes first."""
        return self.max_completion_tokens or self.max_tokens


Token = Annotated[int, Field(ge=0)]


class CompletionWish(Wish):
    """Body of `POST /v1/completions`."""

    usual_tokens = COMPLETION_TOKENS

    prompt: str | list[Token] | Annotated[list[str], Field(min_length=1, max_length=1)]


W = TypeVar("W", bound=BaseModel)


def read(kind: type[W], body: bytes | Mapping[str, Any]) -> W:
    """Check a request body: JSON, or the fields of a form.

    Raises:
        BadField: it is not JSON, or a field is missing, wrong or not supported; names the field.
    """
    try:
        return kind.model_validate_json(body) if isinstance(body, bytes) else kind.model_validate(body)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise BadField(f"The body is not JSON: {first['ctx']['error']}.", param=None) from exc
        named = [
            str(part)
            for part in first["loc"]
            if not (isinstance(part, str) and ("[" in part or part in {"str", "constrained-str"}))
        ]
        if named[:1] == ["logit_bias"]:
            del named[1:]  # a name that the client made up, of any length
        where = ".".join(named) or "The body"
        several = named if isinstance(body, bytes) else []  # a form's fields are of one kind
        raise BadField(f"{where} {_wrong(first, several)}.", param=named[0] if named else None) from exc
    except RecursionError as exc:
        raise BadField("The body is nested too deeply.", param=None) from exc


def _wrong(fault: ErrorDetails, named: Sequence[str]) -> str:
    """What is wrong with the field that the path `named` leads to."""
    if fault["type"] in {"missing", "extra_forbidden"}:
        return PLAIN_WORDS[fault["type"]]
    for name in named:
        if name in SEVERAL_KINDS:
            return SEVERAL_KINDS[name]
    if fault["type"] not in PLAIN_WORDS:
        return f"is wrong: {fault['msg']}"
    limits = fault.get("ctx", {})
    if limits.get("max_length") == 0:
        return "must be empty"
    shown = {name: f"{value:g}" if isinstance(value, float) else value for name, value in limits.items()}
    return PLAIN_WORDS[fault["type"]].format(**shown)
