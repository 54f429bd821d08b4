"""What one request notes of a server, good or bad; nothing a server does is more than a fault."""

from __future__ import annotations

import json
import time

import pytest
from openai_server import HEAD, Behaviour, answers, event, refuses, repeats, says, serving, usage

from orchestrator.adapters.load_test.client import Endpoint, Request
from orchestrator.adapters.load_test.drive import drive
from orchestrator.core.verification.measured import Fault, Sample

DONE = b"data: [DONE]\n\n"
END = event(choices=[{"delta": {}, "finish_reason": "stop"}])


def asked(behaviour: Behaviour, *, tokens: int = 8, patience_s: float = 30.0, key: str = "") -> Sample:
    with serving(behaviour) as door:
        driven = drive(Endpoint(door.url, "m", key), [Request(0.0, "hello", tokens)], patience_s=patience_s)
    return driven.samples[0]


def test_times_are_those_of_the_server() -> None:
    with serving(answers(first_s=0.1, each_s=0.03)) as door:
        sample = drive(Endpoint(door.url, "m"), [Request(0.0, "hello", 10)]).samples[0]
    served_s = door.wrote[0][1] - door.wrote[0][0]

    assert sample.fault is None
    assert (sample.pieces, sample.output_tokens, sample.prompt_tokens) == (10, 10, 12)
    assert sample.ttft_s >= 0.1
    assert sample.tpot_s == pytest.approx(served_s / 9, rel=0.25, abs=0.02)
    assert sample.latency_s == pytest.approx(sample.ttft_s + 9 * (sample.tpot_s or 0))


def test_the_request_is_a_streamed_chat_with_usage_and_the_key_in_its_header() -> None:
    with serving(answers()) as door:
        drive(Endpoint(door.url, "m", "secret", {"ignore_eos": True}), [Request(0.0, "hello", 3)])

    assert door.bodies == [
        {
            "model": "m",
            "messages": [{"role": "user", "content": "hello"}],
            "max_tokens": 3,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
            "ignore_eos": True,
        }
    ]
    assert "Authorization: Bearer secret" in door.headers[0]
    assert "secret" not in json.dumps(door.bodies)
    assert "secret" not in repr(Endpoint(door.url, "m", "secret"))


@pytest.mark.parametrize(
    ("behaviour", "fault", "said"),
    [
        pytest.param(refuses(429, "all slots busy"), Fault.REFUSED, "429 all slots busy", id="full"),
        pytest.param(refuses(503, "draining"), Fault.REFUSED, "503 draining", id="draining"),
        pytest.param(refuses(500, "boom"), Fault.STATUS, "500 boom", id="server error"),
        pytest.param(refuses(404, "\x1b[31mno\nsuch"), Fault.STATUS, "404 [31mno such", id="escape codes are left out"),
        pytest.param(refuses(302, "", "Location: http://elsewhere/"), Fault.STATUS, "redirect", id="redirect"),
        pytest.param(says(HEAD + b"<html>hello</html>"), Fault.WRONG, "no event", id="a web page"),
        pytest.param(says(HEAD + b"data: {not json\n\n"), Fault.WRONG, "none of the protocol", id="no JSON"),
        pytest.param(says(HEAD + b"data: [1, 2]\n\n"), Fault.WRONG, "none of the protocol", id="a list"),
        pytest.param(says(HEAD + b'data: {"choices": 7}\n\n'), Fault.WRONG, "none of", id="choices that are a number"),
        pytest.param(says(HEAD + b"data: " + b"[" * 200_000 + b"\n\n"), Fault.WRONG, "none of", id="deep nesting"),
        pytest.param(
            says(HEAD + b"data: \xff\xfe\n\n"), Fault.WRONG, "none of the protocol", id="bytes that are no text"
        ),
        pytest.param(says(HEAD + END + DONE), Fault.WRONG, "empty answer", id="an empty answer"),
        pytest.param(says(HEAD + event("a") + event("b")), Fault.BROKEN, "2 pieces and no end", id="cut off"),
        pytest.param(says(HEAD), Fault.WRONG, "no event", id="nothing after the head"),
        pytest.param(
            says(HEAD + event("a") + event(error={"message": "engine died"})),
            Fault.BROKEN,
            "engine died",
            id="error event",
        ),
        pytest.param(
            says(HEAD.replace(b"Connection", b"Content-Length: 9999\r\nConnection") + event("a")),
            Fault.BROKEN,
            "",
            id="shorter than its length",
        ),
        pytest.param(says(b"\x00\x01\x02\x03 garbage\r\n\r\n"), Fault.BROKEN, "", id="no HTTP"),
        pytest.param(
            says(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 500_000 + b"\r\n\r\n"), Fault.BROKEN, "", id="huge header"
        ),
        pytest.param(says(b""), Fault.BROKEN, "", id="hangs up"),
        pytest.param(repeats(HEAD, event("more ")), Fault.WRONG, "more pieces than", id="endless pieces"),
        pytest.param(repeats(HEAD, b": still here\n" * 500), Fault.WRONG, "far more bytes", id="endless comments"),
        pytest.param(repeats(HEAD + b"data: ", b"x" * 10_000), Fault.WRONG, "a line of more than", id="endless line"),
    ],
)
def test_a_bad_answer_is_a_fault_with_a_reason(behaviour: Behaviour, fault: Fault, said: str) -> None:
    sample = asked(behaviour)

    assert sample.fault is fault, sample.said
    assert said in sample.said
    assert len(sample.said) <= 250
    assert sample.said.isprintable()


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(says(b"", then_s=60), id="silent from the start"),
        pytest.param(says(HEAD + event("a"), then_s=60), id="silent after a piece"),
        pytest.param(answers(each_s=5), id="slower than patience"),
    ],
)
def test_patience_ends(behaviour: Behaviour) -> None:
    began_s = time.perf_counter()
    sample = asked(behaviour, patience_s=0.3)

    assert sample.fault is Fault.TIMEOUT
    assert time.perf_counter() - began_s < 5


def test_nobody_listens() -> None:
    with serving(answers()) as door:
        url = door.url
    driven = drive(Endpoint(url, "m"), [Request(0.0, "hello", 8)])

    assert driven.samples[0].fault is Fault.UNREACHABLE
    assert driven.samples[0].said == "nothing listens there"


def test_a_host_that_is_not_known_is_told_plainly() -> None:
    (sample,) = drive(Endpoint("http://nobody.invalid/v1", "m"), [Request(0.0, "hello", 8)]).samples

    assert sample.fault is Fault.UNREACHABLE
    assert sample.said.startswith("no connection: ")
    assert "ssl" not in sample.said


def test_the_end_is_the_last_event_and_not_the_end_of_the_connection() -> None:
    began_s = time.perf_counter()
    sample = asked(says(HEAD + event("a") + event("b") + DONE, then_s=60))

    assert sample.fault is None
    assert time.perf_counter() - began_s < 10


@pytest.mark.parametrize(
    ("counts", "prompt", "output"),
    [
        pytest.param((7, 2), 7, 2, id="as it says"),
        pytest.param((7, 900), 7, None, id="more than was asked for"),
        pytest.param((-5, 0), None, None, id="nothing and less"),
        pytest.param((10**30, True), None, None, id="no number that can be"),
        pytest.param(("7", 2.0), None, None, id="of another type"),
    ],
)
def test_counts_that_cannot_be_are_not_believed(
    counts: tuple[object, object], prompt: int | None, output: int | None
) -> None:
    sample = asked(says(HEAD + event("a") + event("b") + END + usage(*counts) + DONE))

    assert sample.fault is None
    assert (sample.prompt_tokens, sample.output_tokens, sample.tokens) == (prompt, output, 2)


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(HEAD + event("a") + event("b") + END, id="a reason to end and no last event"),
        pytest.param(
            HEAD + (event("a") + event("b") + END + DONE).replace(b"\n", b"\r\n"), id="lines end as on Windows"
        ),
        pytest.param(HEAD + (event("a") + event("b") + END + DONE).replace(b"data: ", b"data:"), id="no space"),
        pytest.param(HEAD + b": hello\n\nevent: x\n" + event("a") + event("b") + END + DONE, id="comments"),
        pytest.param(
            HEAD
            + event(choices=[{"delta": {"reasoning_content": "hm"}}])
            + event(choices=[{"delta": {"reasoning": "so"}}])
            + END
            + DONE,
            id="thoughts count",
        ),
        pytest.param(
            HEAD + event("a") + event("b") + event(choices=None) + END + DONE[:-2], id="no line end at the end"
        ),
    ],
)
def test_streams_of_other_servers_are_read(stream: bytes) -> None:
    sample = asked(says(stream))

    assert (sample.fault, sample.pieces) == (None, 2), sample.said


def test_an_answer_in_one_piece_says_nothing_of_the_pace() -> None:
    sample = asked(says(HEAD + event("a b c") + END + usage(7, 3) + DONE))

    assert (sample.fault, sample.tokens, sample.tpot_s) == (None, 3, None)
