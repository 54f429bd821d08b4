"""What a chat body may hold, and how what it may not is said."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runtimes.edge.complaints import BadField, read
from runtimes.edge.wishes import ChatWish, CompletionWish

CONTENT = 'must be a string or a list of parts like {"type": "text", "text": "..."}; only text is read here'


@pytest.mark.parametrize(
    ("messages", "sentence"),
    [
        pytest.param([], "messages must not be empty.", id="no messages"),
        pytest.param("hi", "messages must be a list.", id="a text"),
        pytest.param(["hi"], "messages.0 must be an object.", id="a text in the list"),
        pytest.param([{"role": "user"}], "messages.0.content is required.", id="no content"),
        pytest.param([{"role": "user", "content": None}], f"messages.0.content {CONTENT}.", id="null"),
        pytest.param(
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
            f"messages.0.content {CONTENT}.",
            id="an image",
        ),
        pytest.param(
            [{"role": "robot", "content": "x"}],
            "messages.0.role must be one of 'system', 'developer', 'user', 'assistant', 'tool'.",
            id="nobody",
        ),
        pytest.param([{"content": "x"}], "messages.0.role is required.", id="no role"),
        pytest.param(
            [{"role": "tool", "content": "x"}], "messages.0.tool_call_id is required.", id="an answer to no call"
        ),
        pytest.param(
            [{"role": "user", "content": "x", "bogus": 1}], "messages.0.bogus is not known here.", id="an unknown field"
        ),
        pytest.param(
            [{"role": "user", "content": "x", "stop": 1}],
            "messages.0.stop is not known here.",
            id="a field from elsewhere",
        ),
        pytest.param(
            [{"role": "assistant", "content": "x", "tool_calls": [{}]}],
            "messages.0.tool_calls.0.id is required.",
            id="a call without a name",
        ),
        pytest.param(
            [{"role": "user", "content": "x"}] * 1025, "messages must have at most 1024 items.", id="too many"
        ),
    ],
)
def test_messages_that_cannot_be_read_are_answered_in_plain_words(messages: Any, sentence: str) -> None:
    with pytest.raises(BadField) as caught:
        read(ChatWish, json.dumps({"model": "tiny", "messages": messages}).encode())

    assert (str(caught.value), caught.value.param) == (sentence, "messages")


def test_who_asks_how_urgently_and_for_how_long_is_read() -> None:
    body = {"model": "m", "prompt": "p", "user": "ann", "priority": -2, "timeout_s": 1.5}
    wish = read(CompletionWish, json.dumps(body).encode())

    assert (wish.client, wish.priority, wish.timeout_s) == ("ann", -2, 1.5)
    named = read(CompletionWish, json.dumps(body | {"safety_identifier": "hashed"}).encode())
    assert named.client == "hashed"


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        ({"priority": 101}, "priority must be at most 100"),
        ({"priority": "high"}, "priority must be an integer"),
        ({"timeout_s": 0}, "timeout_s must be more than 0"),
        ({"timeout_s": 4000}, "timeout_s must be at most 3600"),
        ({"user": "u" * 300}, "user"),
    ],
)
def test_what_asks_for_too_much_of_the_queue_is_refused(field: dict[str, object], sentence: str) -> None:
    with pytest.raises(BadField, match=sentence):
        read(CompletionWish, json.dumps({"model": "m", "prompt": "p"} | field).encode())
