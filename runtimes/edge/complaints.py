"""Bodies that clients send, checked against a model; what is wrong is said in plain words that name the field.

Pure. Called by whatever reads a body: `runtimes.edge.wishes` has those of generated text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from runtimes.edge.formats import SPELLED
from runtimes.errors import Invalid

MOST_STOPS = 4
LONGEST_STOP = 256  # characters
MOST_BIASES = 1024
# Fields that may be of several kinds: the library would name only the first.
SEVERAL_KINDS: Mapping[str, str] = {
    "prompt": "must be a string, a list of one string, or a list of token numbers",
    "input": "must be a string, a list of strings, a list of token numbers, or a list of such lists",
    "stop": f"must be a string or a list of at most {MOST_STOPS} strings, each of 1 to {LONGEST_STOP} characters",
    "logit_bias": f"must be an object of at most {MOST_BIASES} token numbers, each with a number from -100 to 100",
    "content": 'must be a string or a list of parts like {"type": "text", "text": "..."}; only text is read here',
    "response_format": SPELLED,
    "tool_choice": 'must be "none", "auto", "required" or {"type": "function", "function": {"name": "..."}}',
}
# Names that the library puts into a path for the kind of message that it took a message for.
ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
# What is wrong with a field, by the library's name for it; the rest keeps the library's words.
PLAIN_WORDS: Mapping[str, str] = {
    "missing": "is required",
    "extra_forbidden": "is not known here",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "list_type": "must be a list",
    "string_type": "must be a string",
    "int_type": "must be an integer",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "none_required": "must be null",
    "literal_error": "must be {expected}",
    "union_tag_invalid": "must be one of {expected_tags}",
    "union_tag_not_found": "is required",
    "string_pattern_mismatch": "must match {pattern}",
    "too_short": "must not be empty",
    "too_long": "must have at most {max_length} items",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
}
UNION_FAULTS = frozenset({"union_tag_invalid", "union_tag_not_found"})


class BadField(Invalid):
    """A body is wrong at a named field."""

    def __init__(self, message: str, *, param: str | None) -> None:
        super().__init__(message)
        self.param = param


class UnknownModel(BadField):
    """Another model is asked for than this server has."""


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
        named = _named(first)
        if named[:1] == ["logit_bias"]:
            del named[1:]  # a name that the client made up, of any length
        where = ".".join(named) or "The body"
        several = named if isinstance(body, bytes) else []  # a form's fields are of one kind
        raise BadField(f"{where} {_wrong(first, several)}.", param=named[0] if named else None) from exc
    except RecursionError as exc:
        raise BadField("The body is nested too deeply.", param=None) from exc


def _named(fault: ErrorDetails) -> list[str]:
    """The path to what is wrong, without the names of kinds that the library puts between."""
    named: list[str] = []
    for before, part in zip([None, *fault["loc"]], fault["loc"], strict=False):
        of_a_kind = isinstance(part, str) and ("[" in part or part in {"str", "constrained-str"})
        if not of_a_kind and not (isinstance(before, int) and part in ROLES):
            named.append(str(part))
    if fault["type"] in UNION_FAULTS:
        named.append(str(fault["ctx"]["discriminator"]).strip("'"))
    return named


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
