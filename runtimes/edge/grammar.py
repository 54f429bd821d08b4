"""Answers that a JSON Schema accepts: which tokens may follow, at every step.

The one home of `llguidance`. A `Grammars` belongs to a replica and compiles schemas off the event loop; a `Guide`
follows one answer on the engine thread. What the library does not follow to the letter is refused before it starts,
and whatever it does wrong later ends that one request. Called by `runtimes.edge.generating` and, through
`runtimes.edge.sampler`, by `runtimes.edge.batching`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from llguidance import LLMatcher, LLParserLimits, LLTokenizer
from numpy.typing import NDArray

from runtimes.edge.calls import CLOSE, OPEN
from runtimes.edge.tokens import Vocabulary
from runtimes.errors import HeadwaterError, Invalid, Refused

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions  # the library names it for type checkers only

LARGEST_SCHEMA = 1 << 16  # characters
# Objects and lists of a schema. The library follows references by recursion and overflows the thread's stack, which
# ends the process, on chains of about a thousand; no chain is longer than the schema has parts.
MOST_PARTS = 400
MOST_CALLS = 8  # that one answer is bound to make at most
LONGEST_COMPLAINT = 200  # characters of the library's own words
# Applied over everything a schema may ask of the library itself. Spaces are bounded, for a model may write them without
# end. One spelling for every string: a key with other escapes would pass for one that the schema does not name.
LETTER: JsonCompileOptions = {
    "item_separator": ",",
    "key_separator": ":",
    "whitespace_pattern": r"\n?[ ]{0,8}",
    "lenient": False,
    "coerce_one_of": False,
    "json_allowed_escapes": 'nrbtf\\"',
    "json_allow_general_unicode_escapes": False,
}
# Milliseconds of work per token, and tens of megabytes per answer, at most.
LIMITS: Mapping[str, Any] = {
    "max_lexer_states": 20_000,
    "max_grammar_size": 100_000,
    "step_lexer_fuel": 200_000,
    "step_max_items": 50_000,
    "verbose_errors": False,
}
TOO_COMPLEX = frozenset({"ParserTooComplex", "LexerTooComplex"})


class Guide:
    """Follows one answer; on the engine thread only."""

    def __init__(self, compiled: LLMatcher) -> None:
        self._compiled = compiled
        self._matcher: LLMatcher | None = None

    def allowed(self, scores: int) -> NDArray[np.bool_]:
        """Which tokens may come next; the end mark only where the answer is complete.

        Args:
            scores: how many the model gives; those beyond the tokenizer's tokens are never allowed.

        Raises:
            Invalid: the schema needs more work per token than is allowed.
            Refused: the library failed.
        """
        with _contained():
            matcher = self._following()
            bits = np.frombuffer(matcher.compute_bitmask(), np.uint8)
            _check(matcher)
            known = np.unpackbits(bits, count=min(scores, len(bits) * 8), bitorder="little").view(np.bool_)
        return np.concatenate([known, np.zeros(scores - len(known), np.bool_)])

    def take(self, token: int) -> None:
        """Go on after this token.

        Raises:
            Refused: it is not allowed here, or the library failed.
        """
        with _contained():
            matcher = self._following()
            if not matcher.consume_token(token):
                _check(matcher)
                raise Refused("No token that the response format allows can follow.")

    def _following(self) -> LLMatcher:
        if self._matcher is None:
            self._matcher = self._compiled.deep_copy()
        return self._matcher


class Grammar:
    """A compiled schema; many answers may follow it."""

    def __init__(self, compiled: LLMatcher) -> None:
        self._compiled = compiled

    def guide(self) -> Guide:
        """A new answer's guide."""
        return Guide(self._compiled)


class Grammars:
    """Compiles schemas for one tokenizer."""

    def __init__(self, vocabulary: Vocabulary, eos: Sequence[int]) -> None:
        self._vocabulary = vocabulary
        self._eos = list(eos)
        self._tokenizer: LLTokenizer | None = None  # made when first needed: it takes a while, and is large
        self._one_at_a_time = threading.Lock()  # so that schemas never take more than one core from the answers

    def compile(self, schema: Mapping[str, Any]) -> Grammar:
        """Compile a schema; may take a second, so not on the event loop. Safe from any thread.

        Raises:
            Invalid: the schema is too large, not a schema, or says what cannot be enforced.
            Refused: this model's tokenizer cannot be constrained.
        """
        text = _checked(schema)
        return self._compiled(lambda: LLMatcher.grammar_from_json_schema(text, overrides=LETTER))

    def compile_calls(self, schemas: Mapping[str, Mapping[str, Any]], *, single: bool) -> Grammar:
        """Bind an answer to calls of tools; may take a second, so not on the event loop. Safe from any thread.

        Args:
            schemas: of each function's arguments, by its name.
            single: whether one call is made, or up to `MOST_CALLS`.

        Raises:
            Invalid: a schema is too large, not a schema, or says what cannot be enforced.
            Refused: this model's tokenizer cannot be constrained.
        """
        for name, schema in schemas.items():
            try:
                self.compile(schema)  # alone first: what is wrong in a schema is said of it, not of the whole grammar
            except Invalid as exc:
                raise Invalid(f"{name}: {exc}") from exc
        texts = [json.dumps({**schema, "x-guidance": LETTER}) for schema in schemas.values()]
        if sum(map(len, texts)) > LARGEST_SCHEMA:
            raise _unusable(f"together they have more than {LARGEST_SCHEMA} characters")
        heads = [json.dumps(f'{{"name": "{name}", "arguments": ') for name in schemas]
        bodies = " | ".join(f'{head} arguments_{at} "}}"' for at, head in enumerate(heads))
        lark = "\n".join(
            [
                f"start: call{'' if single else f' (NEWLINE call){{0,{MOST_CALLS - 1}}}'}",
                f'call: "{OPEN}\\n" ({bodies}) "\\n{CLOSE}"',
                'NEWLINE: "\\n"',
                *(f"arguments_{at}: %json {text}" for at, text in enumerate(texts)),
            ]
        )
        return self._compiled(lambda: LLMatcher.grammar_from_lark(lark))

    def _compiled(self, grammar_of: Callable[[], str]) -> Grammar:
        with self._one_at_a_time, _contained():
            tokenizer = self._ready_tokenizer()
            try:
                grammar = grammar_of()
            except ValueError as exc:
                raise _unusable(str(exc)) from exc
            matcher = LLMatcher(tokenizer, grammar, log_level=0, limits=LLParserLimits(**LIMITS))
            warnings = matcher.get_grammar_warnings()
            if matcher.is_error() or warnings:
                raise _unusable(matcher.get_error() or warnings[0])
            first = matcher.deep_copy()
            first.compute_bitmask()
            if first.is_stopped():  # before a single character, and no JSON text is empty
                raise _unusable("nothing satisfies it")
        return Grammar(matcher)

    def _ready_tokenizer(self) -> LLTokenizer:
        if self._tokenizer is None:
            if not self._eos:
                raise Refused("This model has no end mark, so its answers cannot follow a response format.")
            try:
                self._tokenizer = LLTokenizer(self._vocabulary.to_json(), eos_token=self._eos)
            except ValueError as exc:
                raise Refused("This model's tokenizer cannot follow a response format.") from exc
        return self._tokenizer


def _checked(schema: Mapping[str, Any]) -> str:
    """The schema as JSON, if it is small enough and asks for nothing that the library would follow in part only."""
    if "x-guidance" in schema:
        raise _unusable("x-guidance is not for clients")
    text = json.dumps(schema)
    if len(text) > LARGEST_SCHEMA:
        raise _unusable(f"it has {len(text)} characters; at most {LARGEST_SCHEMA} are read")
    parts: list[Any] = [schema]
    for part in parts:  # grows while it is read
        inner = part.values() if isinstance(part, dict) else part
        parts.extend(value for value in inner if isinstance(value, dict | list))
        if len(parts) > MOST_PARTS:
            raise _unusable(f"it has more than {MOST_PARTS} objects and lists")
        # The library counts a key that comes twice as two properties.
        fewest = part.get("minProperties") if isinstance(part, dict) else None
        if isinstance(fewest, int | float) and fewest > 1:
            raise _unusable("minProperties above 1 cannot be enforced; name the properties in required")
    return text


def _unusable(why: str) -> Invalid:
    return Invalid(f"The schema cannot be followed: {' '.join(why.split())[:LONGEST_COMPLAINT].rstrip('.')}.")


def _check(matcher: LLMatcher) -> None:
    if matcher.is_error():
        if matcher.stop_reason() in TOO_COMPLEX:
            raise Invalid("The schema is too complex to be followed; make it simpler.")
        raise Refused("The response format could not be followed any further.")


@contextmanager
def _contained() -> Iterator[None]:
    """Turn every fault of the library into an error of one request; a panic there is no `Exception`."""
    try:
        yield
    except (HeadwaterError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as exc:
        raise Refused(f"The response format could not be followed ({type(exc).__name__}).") from exc
