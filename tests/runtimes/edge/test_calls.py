"""Tools: offered through the template, called in the answer, given back as history."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from aiohttp.test_utils import TestClient
from edge_servers import CHAT, events, serve
from hypothesis import given
from hypothesis import strategies as st

from runtimes.edge.calls import CLOSE, OPEN, CallReader
from runtimes.edge.engine import Engine
from runtimes.edge.tokens import Vocabulary

# As the Qwen family writes it, shortened; the answer begins after ASKED.
ASKED = "\u0001"
TEMPLATE = (
    "{% if tools %}{% for tool in tools %}{{ tool | tojson }}{% endfor %}<tool_call>{% endif %}"
    "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}"
    "{% for c in m.tool_calls or [] %}{{ c.function.name }}{{ c.function.arguments | tojson }}{% endfor %};{% endfor %}"
    + ASKED
)
CITY = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 3}}, "required": ["city"]}
CITY["additionalProperties"] = False
TOOLS = [
    {"type": "function", "function": {"name": "hot", "description": "Is it hot?", "parameters": CITY, "strict": True}},
    {"type": "function", "function": {"name": "now"}},
]
PATH = "/v1/chat/completions"
HOT = '<tool_call>\n{"name": "hot", "arguments": {"city": "Rom"}}\n</tool_call>'


def parted(text: str, sizes: list[int], *, single: bool = False) -> tuple[str, list[tuple[str, str]]]:
    reader, said, calls, at = CallReader(frozenset({"hot", "now"}), single=single), "", [], 0
    for size in sizes:
        more, found = reader.push(text[at : at + size])
        said, calls, at = said + more, calls + found, at + size
    for more, found in (reader.push(text[at:]), reader.close()):
        said, calls = said + more, calls + found
    return said, [(call.name, call.arguments) for call in calls]


@pytest.mark.parametrize(
    ("text", "said", "calls"),
    [
        pytest.param("Hello.", "Hello.", [], id="no call"),
        pytest.param(HOT, "", [("hot", '{"city": "Rom"}')], id="a call alone"),
        pytest.param("I look.\n" + HOT, "I look.", [("hot", '{"city": "Rom"}')], id="words before it"),
        pytest.param(HOT + "\n" + HOT + "\n", "", [("hot", '{"city": "Rom"}')] * 2, id="two calls"),
        pytest.param(HOT.removesuffix(CLOSE), "", [("hot", '{"city": "Rom"}')], id="the end mark left out"),
        pytest.param('<tool_call>{"name": "now"}</tool_call>', "", [("now", "{}")], id="no arguments"),
        pytest.param(
            '<tool_call>{"name": "hot", "arguments": {"city": "</tool_call>"}}</tool_call>',
            "",
            [("hot", '{"city": "</tool_call>"}')],
            id="the end mark in an argument",
        ),
        pytest.param('<tool_call>{"name": "rm"}</tool_call>', ..., [], id="not offered"),
        pytest.param("<tool_call>{</tool_call> x", ..., [], id="not JSON"),
        pytest.param('<tool_call>{"name": "hot", "arguments": "Rom"}</tool_call>', ..., [], id="no object"),
        pytest.param(
            'x \n<tool_call>{"name": "rm"}</tool_call>\n' + HOT,
            'x \n<tool_call>{"name": "rm"}</tool_call>',
            [("hot", '{"city": "Rom"}')],
            id="what is not offered before a call",
        ),
        pytest.param(
            "<tool_call>{oh}</tool_call> " + HOT,
            "<tool_call>{oh}</tool_call>",
            [("hot", '{"city": "Rom"}')],
            id="broken first",
        ),
        pytest.param('<tool_call>{"name": ["hot"]}</tool_call>', ..., [], id="a list as name"),
        pytest.param("a \n<tool_call> b \n", ..., [], id="spaces around what is no call"),
        pytest.param("a < b <tool", ..., [], id="only like a call"),
    ],
)
def test_however_the_text_comes_calls_are_told_from_text(text: str, said: Any, calls: Any) -> None:
    @given(st.lists(st.integers(1, 9), max_size=len(text)))
    def check(sizes: list[int]) -> None:
        assert parted(text, sizes) == (text if said is ... else said, calls)

    check()


def test_after_a_single_call_the_rest_is_dropped() -> None:
    assert parted(HOT + "\n" + HOT + "and more", [5], single=True) == ("", [("hot", '{"city": "Rom"}')])


@pytest.fixture
def scripted(decoder: Any, vocabulary: Vocabulary) -> Any:
    """The decoder without weights, which says what `script` has."""
    asked = vocabulary.encode(ASKED, special=False)[0]

    def scores(row: int) -> Any:
        held = decoder.rows[row]
        after = len(held) - 1 - held[::-1].index(asked) if asked in held else 0
        made = len(held) - 1 - after
        tokens = [*vocabulary.encode(decoder.script, special=False), 256]
        found = plain(row) * 0
        found[tokens[min(made, len(tokens) - 1)]] = 9
        return found

    plain, decoder._scores, decoder.context_tokens = decoder._scores, scores, 900
    decoder.script = HOT
    return decoder


def asked(**fields: Any) -> dict[str, Any]:
    return (
        CHAT | {"tools": TOOLS, "max_tokens": 200, "messages": [{"role": "user", "content": "Is Rome hot?"}]} | fields
    )


def test_a_call_comes_as_a_call_whole_and_streamed(scripted: Any, vocabulary: Vocabulary) -> None:
    async def work(client: TestClient, _engine: Engine) -> None:
        choice = (await (await client.post(PATH, json=asked())).json())["choices"][0]
        chunks = events(await (await client.post(PATH, json=asked(stream=True))).text())[:-1]

        (call,) = choice["message"]["tool_calls"]
        assert (choice["message"]["content"], choice["finish_reason"]) == (None, "tool_calls")
        assert (call["type"], call["function"]) == ("function", {"name": "hot", "arguments": '{"city": "Rom"}'})
        deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
        (streamed,) = [one for delta in deltas for one in delta.get("tool_calls", [])]
        assert (streamed["index"], streamed["function"]) == (0, call["function"])
        assert not any(delta.get("content") for delta in deltas)
        assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"

        history = [{"role": "user", "content": "hi"}, choice["message"]]
        history += [{"role": "tool", "tool_call_id": call["id"], "content": "35 degrees"}]
        scripted.script = "Yes."
        said = (await (await client.post(PATH, json=asked(messages=history))).json())["choices"][0]
        assert (said["message"]["content"], said["finish_reason"]) == ("Yes.", "stop")
        assert "tool_calls" not in said["message"]
        read = vocabulary.decode(scripted.rows[0])
        assert 'a:hot{"city": "Rom"};t:35 degrees;' in read
        assert '"description": "Is it hot?"' in read

    serve(scripted, vocabulary, work, template=TEMPLATE)


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        pytest.param("required", {"hot", "now"}, id="any"),
        pytest.param({"type": "function", "function": {"name": "hot"}}, {"hot"}, id="a named one"),
    ],
)
def test_the_choice_binds_the_answer_whatever_the_model_likes(
    scripted: Any, vocabulary: Vocabulary, *, choice: Any, names: set[str]
) -> None:
    scripted.script = "No, I would rather talk about the weather."

    async def work(client: TestClient, _engine: Engine) -> None:
        for seed in range(4):
            body = asked(tool_choice=choice, temperature=2, seed=seed, max_tokens=400, parallel_tool_calls=False)
            told = (await (await client.post(PATH, json=body)).json())["choices"][0]
            if told["finish_reason"] == "length":
                continue  # a model without sense may write spaces or digits to the end
            (call,) = told["message"]["tool_calls"]
            assert call["function"]["name"] in names
            schema = CITY if call["function"]["name"] == "hot" else {"type": "object"}
            jsonschema.validate(json.loads(call["function"]["arguments"]), schema)
            return
        raise AssertionError("no answer ended")

    serve(scripted, vocabulary, work, template=TEMPLATE)


def test_with_the_choice_none_the_model_hears_of_no_tool(scripted: Any, vocabulary: Vocabulary) -> None:
    async def work(client: TestClient, _engine: Engine) -> None:
        told = (await (await client.post(PATH, json=asked(tool_choice="none"))).json())["choices"][0]

        assert told["message"]["content"] == HOT
        assert OPEN not in vocabulary.decode(scripted.rows[0]).split(ASKED)[0]

    serve(scripted, vocabulary, work, template=TEMPLATE)


@pytest.mark.parametrize(
    ("fields", "param", "sentence"),
    [
        pytest.param({"tools": [{}]}, "tools", "tools.0.type is required", id="no tool"),
        pytest.param({"tools": TOOLS[:1] * 2}, "tools", "two functions named 'hot'", id="one name twice"),
        pytest.param({"tool_choice": "maybe"}, "tool_choice", '"required"', id="no choice"),
        pytest.param({"tools": [], "tool_choice": "required"}, "tool_choice", "tools is empty", id="nothing to call"),
        pytest.param(
            {"tool_choice": {"type": "function", "function": {"name": "rm"}}}, "tool_choice", "'rm'", id="not offered"
        ),
        pytest.param({"response_format": {"type": "json_object"}}, "response_format", "cannot call", id="both"),
        pytest.param({"tool_choice": "required", "stop": "x"}, "stop", "would cut", id="cut"),
        pytest.param(
            {
                "tools": [{"type": "function", "function": {"name": "a", "parameters": {"type": "strang"}}}],
                "tool_choice": "required",
            },
            "tools",
            "tools: a: The schema cannot be followed: Invalid type: strang",
            id="no schema",
        ),
    ],
)
def test_what_cannot_be_offered_names_its_field(
    scripted: Any, vocabulary: Vocabulary, *, fields: Any, param: str, sentence: str
) -> None:
    async def work(client: TestClient, _engine: Engine) -> None:
        response = await client.post(PATH, json=asked(**fields))
        error = (await response.json())["error"]

        assert (response.status, error["param"]) == (400, param)
        assert sentence in error["message"]

    serve(scripted, vocabulary, work, template=TEMPLATE)


def test_arguments_that_are_nested_too_deeply_are_the_clients_fault(scripted: Any, vocabulary: Vocabulary) -> None:
    deep = '{"a":' * 600 + "1" + "}" * 600
    call = {"id": "1", "type": "function", "function": {"name": "hot", "arguments": deep}}

    async def work(client: TestClient, _engine: Engine) -> None:
        response = await client.post(PATH, json=asked(messages=[{"role": "assistant", "tool_calls": [call]}]))

        assert response.status == 400
        assert "nested too deeply" in (await response.json())["error"]["message"]

    scripted.context_tokens = 9000
    serve(scripted, vocabulary, work, template=TEMPLATE)


def test_a_model_that_knows_no_tools_says_so(decoder: Any, vocabulary: Vocabulary) -> None:
    async def work(client: TestClient, _engine: Engine) -> None:
        response = await client.post(PATH, json=asked())

        assert (response.status, (await response.json())["error"]["param"]) == (400, "tools")

    serve(decoder, vocabulary, work)
