"""Answers bound by a JSON Schema, over a decoder without weights."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtimes.edge.batching import Batching
from runtimes.edge.complaints import BadField, read
from runtimes.edge.generation import Ask, Finish, Generation
from runtimes.edge.grammar import Grammar, Grammars, Guide
from runtimes.edge.sampler import Sampler, Sampling
from runtimes.edge.scheduler import Rows
from runtimes.edge.tokens import Vocabulary
from runtimes.edge.wishes import ChatWish
from runtimes.errors import Invalid, Refused

END = 256
CARD = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "kind": {"enum": ["a", "b/c"]},
        "n": {"type": "integer"},
    },
    "required": ["name", "kind"],
    "additionalProperties": False,
}
LIST = {"type": "array", "items": {"anyOf": [{"type": "boolean"}, {"type": "null"}]}, "minItems": 1, "maxItems": 4}


@pytest.fixture(scope="module")
def grammars(vocabulary: Vocabulary) -> Grammars:
    return Grammars(vocabulary, [END])


def written(guide: Guide, seed: int, tokens: int) -> tuple[bytes, bool]:
    """What a model without preferences writes, and whether it ended by itself."""
    sampler = Sampler(Sampling(seed=seed), guide=guide)
    scores = np.random.default_rng(seed).normal(size=300).astype(np.float32)  # wider than the vocabulary
    made = []
    for _ in range(tokens):
        token = sampler.pick(scores)
        if token == END:
            return bytes(_byte(token) for token in made), True
        made.append(token)
    return b"", False


def _byte(token: int) -> int:
    """The byte that a token of the tests' tokenizer stands for."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {chr(byte): byte for byte in plain}
    letters |= {chr(256 + at): byte for at, byte in enumerate(sorted(set(range(256)) - set(plain)))}
    return letters[sorted(letters)[token]]


@pytest.mark.parametrize("schema", [CARD, LIST, {"type": "object", "maxProperties": 2}])
def test_an_answer_that_ends_satisfies_its_schema(grammars: Grammars, schema: dict[str, Any]) -> None:
    grammar, ended = grammars.compile(schema), []

    @settings(max_examples=40)
    @given(st.integers(0, 2**32))
    def check(seed: int) -> None:
        text, whole = written(grammar.guide(), seed, 300)
        ended.append(whole)
        if whole:
            jsonschema.validate(json.loads(text.decode()), schema)

    check()
    assert any(ended)


@pytest.mark.parametrize(
    ("schema", "sentence"),
    [
        pytest.param({"type": "strang"}, "Invalid type: strang", id="no type"),
        pytest.param({"not": {"type": "string"}}, "Unimplemented keys", id="not"),
        pytest.param({"x-guidance": {"lenient": True}, "not": {}}, "x-guidance", id="options of the library"),
        pytest.param({"type": "object", "minProperties": 2}, "minProperties", id="followed in part only"),
        pytest.param({"$ref": "http://example.org/x"}, "not present", id="a schema elsewhere"),
        pytest.param({"$ref": "#"}, "cannot be followed", id="nothing satisfies it"),
        pytest.param({"enum": ["x" * 70_000]}, "at most 65536", id="too large"),
        pytest.param(
            {"$defs": {str(n): {"allOf": [{"$ref": f"#/$defs/{n + 1}"}]} for n in range(600)}, "$ref": "#/$defs/0"},
            "more than 400",
            id="a long chain of references",
        ),
    ],
)
def test_a_schema_that_cannot_be_enforced_is_refused(grammars: Grammars, schema: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Invalid, match=sentence):
        grammars.compile(schema)


def test_the_end_comes_only_where_the_answer_is_complete(grammars: Grammars, vocabulary: Vocabulary) -> None:
    guide = grammars.compile({"const": True}).guide()

    allowed = []
    for token in [*vocabulary.encode("true", special=False), END]:
        allowed.append(bool(guide.allowed(257)[END]))
        guide.take(token)

    assert allowed == [False, False, False, False, True]


def test_a_token_that_is_not_allowed_is_refused(grammars: Grammars) -> None:
    with pytest.raises(Refused):
        grammars.compile({"const": True}).guide().take(END)


class Panic(BaseException):
    """As the library's language raises it."""


class Broken:
    def deep_copy(self) -> Broken:
        raise Panic


def test_a_panic_in_the_library_ends_its_request_alone(
    grammars: Grammars, vocabulary: Vocabulary, decoder: Any
) -> None:
    async def work() -> None:
        rows = Rows(slots=3, queue=3)
        batching = Batching(decoder, vocabulary, [END], rows)
        schemas = [Grammar(Broken()), grammars.compile({"const": True}), grammars.compile(CARD)]
        asked = [
            Generation(Ask((1, 2), 4 + (n == 1), Sampling(0.0), grammar=schemas[n]), 4 + (n == 1), 0) for n in range(3)
        ]
        for generation in asked:
            rows.waiting.add(generation)
        for _ in range(12):
            batching.admit()
            for generation, piece in [*batching.read(), *batching.decode()]:
                generation.arrive(piece)
        ends = [await generation.read() for generation in asked]

        assert isinstance(ends[0].error, Refused)
        assert (ends[1].text, ends[1].finish) == ("true", Finish.STOP)
        assert ends[2].finish is Finish.LENGTH

    asyncio.run(work())


@pytest.mark.parametrize(
    ("extra", "param"),
    [
        pytest.param({"response_format": {"type": "xml"}}, "response_format", id="an unknown type"),
        pytest.param({"response_format": {"type": "json_schema"}}, "response_format", id="no schema"),
        pytest.param({"response_format": {"type": "json_object"}, "stop": "x"}, "stop", id="a stop string besides"),
    ],
)
def test_a_format_that_cannot_be_read_names_its_field(extra: dict[str, Any], param: str) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], **extra}
    with pytest.raises(BadField) as caught:
        read(ChatWish, json.dumps(body).encode())

    assert caught.value.param == param
