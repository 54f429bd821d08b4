"""Before the first byte a request goes on to another replica; after it, never."""

import http.client
import threading
import time

import pytest

BEFORE_THE_FIRST_BYTE = ["refusing", "resetting", "half_closed", "garbage", "draining", "bad_gateway", "full"]
STREAM = {"model": "assistant", "stream": True}


def in_background(work) -> tuple[threading.Thread, list]:
    results: list = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    return thread, results


@pytest.mark.parametrize("behaviour", BEFORE_THE_FIRST_BYTE)
def test_another_replica_answers_when_the_first_one_is(lab, behaviour: str) -> None:
    bad, spare = lab.replica("a", behaviour), lab.replica("b", "good")
    lab.route(assistant=[bad, spare])

    answer = lab.ask()

    assert (answer.status, answer.headers["x-headwater-replica"]) == (200, "b")
    assert (bad.calls, spare.calls) == (0 if behaviour == "refusing" else 1, 1)
    assert sum(lab.metric("upstream_retries_total").values()) == 1


def test_each_replica_is_asked_once_before_any_waiting(idle_lab) -> None:
    idle_lab.start(wait_for_replica_s=0)
    fakes = [
        idle_lab.replica(name, behaviour) for name, behaviour in zip("abc", BEFORE_THE_FIRST_BYTE[1:], strict=False)
    ]
    idle_lab.route(assistant=fakes)

    answer = idle_lab.ask()

    assert answer.status == 503
    assert [f.calls for f in fakes] == [1, 1, 1]


@pytest.mark.parametrize("behaviour", ["refusing", "draining", "resetting"])
def test_without_a_replica_that_answers_the_client_is_told_when_to_come_back(lab, behaviour: str) -> None:
    lab.route(assistant=[lab.replica("a", behaviour)])

    answer = lab.ask()

    assert answer.status == 503
    assert answer.headers["retry-after"] == "2"
    assert answer.json["error"]["code"] == "no_ready_replica"
    assert "send the request again in 2 s" in answer.json["error"]["message"]
    assert "operator" in answer.json["error"]["message"]


def test_a_service_without_replicas_waits_and_then_answers_503(lab) -> None:
    lab.route(assistant=[])
    began_s = time.monotonic()

    answer = lab.ask()

    assert answer.status == 503
    assert 0.2 <= time.monotonic() - began_s < 2


def test_a_request_that_makes_replicas_crash_reaches_each_at_most_twice(idle_lab) -> None:
    idle_lab.start(wait_for_replica_s=1.5)
    fakes = [idle_lab.replica("a", "resetting"), idle_lab.replica("b", "resetting")]
    idle_lab.route(assistant=fakes)

    assert idle_lab.ask().status == 503
    assert [f.calls for f in fakes] == [2, 2]


def test_requests_wait_for_the_only_replica_while_it_restarts(idle_lab) -> None:
    idle_lab.start(wait_for_replica_s=10)
    only = idle_lab.replica("a", "good")
    idle_lab.route(assistant=[only])
    assert idle_lab.ask().status == 200
    idle_lab.kill(only)

    waiting, results = in_background(idle_lab.ask)
    idle_lab.eventually(lambda: sum(idle_lab.metric("upstream_retries_total").values()) >= 2, "it did not try")
    idle_lab.revive(only)
    waiting.join(10)

    assert [r.status for r in results] == [200]


def test_a_request_under_way_when_its_only_replica_is_killed_is_answered_by_the_restarted_one(idle_lab) -> None:
    idle_lab.start(wait_for_replica_s=10)
    only = idle_lab.replica("a", "slow")
    idle_lab.route(assistant=[only])

    waiting, results = in_background(idle_lab.ask)
    idle_lab.eventually(lambda: only.calls == 1, "it did not arrive")
    idle_lab.kill(only)
    only.behaviour = "good"
    idle_lab.revive(only)
    waiting.join(10)

    assert [r.status for r in results] == [200]


def test_a_waiting_request_goes_to_a_replica_that_is_pushed(idle_lab) -> None:
    idle_lab.start(wait_for_replica_s=10)
    idle_lab.route(assistant=[])

    waiting, results = in_background(idle_lab.ask)
    idle_lab.eventually(lambda: idle_lab.metric("in_flight")[""] == 1, "it did not arrive")
    idle_lab.route(assistant=[idle_lab.replica("new", "good")])
    waiting.join(10)

    assert [r.headers["x-headwater-replica"] for r in results] == ["new"]


@pytest.mark.parametrize(
    ("waits", "told", "by"),
    [
        pytest.param(["9", "3"], "3", "b", id="the smallest Retry-After wins"),
        pytest.param(["3", "9"], "3", "a", id="whoever is asked first"),
        pytest.param(["", "9"], "9", "b", id="a stated wait beats none"),
        pytest.param(["soon", ""], "1", "a", id="without a readable one it is a second"),
    ],
)
def test_when_all_replicas_are_full(lab, waits: list[str], told: str, by: str) -> None:
    fakes = [lab.replica(name, "full", retry_after=wait) for name, wait in zip("ab", waits, strict=True)]
    lab.route(assistant=fakes)

    answer = lab.ask()

    assert (answer.status, answer.headers["retry-after"]) == (429, told)
    assert answer.json["error"]["message"] == f"{by} is full"
    assert [f.calls for f in fakes] == [1, 1]


def test_a_stream_broken_in_the_middle_ends_with_an_error_event_and_is_not_tried_again(lab) -> None:
    dying, spare = lab.replica("a", "dying_in_stream"), lab.replica("b", "good")
    lab.route(assistant=[dying, spare])

    answer = lab.ask(body=STREAM)
    events = answer.body.decode().split("\n\n")

    assert answer.status == 200
    assert events[0] == 'data: {"half": 1}'
    assert events[-2].startswith('data: {"error": {"message": "the replica broke the connection')
    assert events[-1] == ""
    assert spare.calls == 0
    assert lab.metric("requests_total")['{outcome="broken",service="assistant"}'] == 1


def test_the_connection_of_a_broken_stream_is_closed(lab) -> None:
    lab.route(assistant=[lab.replica("a", "dying_in_stream")])

    response = lab.send("POST", "/v1/chat/completions", body=STREAM)
    response.read()
    client = response.connection.sock
    client.settimeout(5)

    assert client.recv(1) == b""
    response.connection.close()


def test_an_answer_broken_in_the_middle_is_a_502_and_not_tried_again(lab) -> None:
    dying, spare = lab.replica("a", "dying_in_answer"), lab.replica("b", "good")
    lab.route(assistant=[dying, spare])

    answer = lab.ask()

    assert (answer.status, answer.json["error"]["code"]) == (502, "upstream_broken")
    assert spare.calls == 0


def test_a_large_answer_broken_after_its_head_is_visibly_cut(lab) -> None:
    lab.route(assistant=[lab.replica("a", "dying_in_large_answer")])

    with pytest.raises(http.client.IncompleteRead):
        lab.ask()


def test_an_error_of_the_engine_is_passed_on_and_not_tried_again(lab) -> None:
    failing, spare = lab.replica("a", "failing"), lab.replica("b", "good")
    lab.route(assistant=[failing, spare])

    answer = lab.ask()

    assert (answer.status, answer.json["error"]["message"]) == (500, "engine broke")
    assert spare.calls == 0


def test_a_replica_that_refuses_connections_is_soon_left_out(lab) -> None:
    bad, spare = lab.replica("a", "refusing"), lab.replica("b", "good")
    lab.route(assistant=[bad, spare])
    began_s = time.monotonic()

    while time.monotonic() - began_s < 0.5:
        assert lab.ask().status == 200

    # Found out twice, then asked again after 0.1, 0.2 and 0.4 s at most.
    assert 2 <= lab.metric("upstream_retries_total")['{reason="refused",service="assistant"}'] <= 5
    assert spare.calls > 5


HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
SSE = HEAD + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ndata:\r\n"


@pytest.mark.parametrize(
    ("said", "status"),
    [
        pytest.param(b"HTTP/1.1 200", 503, id="half a status line"),
        pytest.param(b"HTTP/9.9 999 ?\r\n\r\n", 503, id="an unknown protocol version"),
        pytest.param(HEAD + b"Content-Length: -1\r\n\r\n", 503, id="a negative length"),
        pytest.param(HEAD + b"X: " + b"y" * 100_000 + b"\r\n\r\n", 503, id="an endless header"),
        pytest.param(HEAD + b"no header\r\n\r\n", 503, id="a header without a colon"),
        pytest.param(b"HTTP/1.1 101 Hm\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 503, id="an upgrade"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 503, id="garbage right after the head"),
        pytest.param((CHUNKED, b"zz\r\n"), 502, id="garbage some time after the head"),
        pytest.param((SSE, b"zz\r\n"), 200, id="a stream that turns to garbage"),
        pytest.param((SSE, b"5\r\nda"), 200, id="a stream cut within a chunk"),
        pytest.param(HEAD + b"X-Odd: \xff\r\nContent-Length: 2\r\n\r\nok", 200, id="a header beyond ASCII"),
        pytest.param(b"HTTP/1.1 204 \xff\r\n\r\n", 204, id="no content and an odd reason"),
        pytest.param(b"HTTP/1.1 799 New\r\nContent-Length: 0\r\n\r\n", 799, id="an unknown status"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\nto the end", 200, id="an old answer without a length"),
    ],
)
def test_the_client_gets_a_whole_answer_when_a_replica_says(
    lab, said: bytes | tuple[bytes, ...], status: int,
) -> None:  # fmt: skip
    replica = lab.replica("a", "raw")
    replica.raw = said if isinstance(said, tuple) else (said,)
    lab.route(assistant=[replica])

    answer = lab.ask()

    assert answer.status == status
    if replica.raw[0] == SSE:
        assert b'"code": "upstream_broken"' in answer.body.split(b"\n\n")[-2]
    assert '{outcome="failed",service="assistant"}' not in lab.metric("requests_total")
