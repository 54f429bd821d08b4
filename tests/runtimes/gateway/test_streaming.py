"""Streams pass through as they come, and end when either side ends them."""

import http.client
import socket
import struct
import time

import pytest

CHAT = "/v1/chat/completions"
STREAM = {"model": "assistant", "stream": True}


def test_each_chunk_arrives_before_the_next_one_exists(lab) -> None:
    replica = lab.replica("a", "slow_stream")
    lab.route(assistant=[replica])

    response = lab.send("POST", CHAT, body=STREAM)
    first = response.read1(1000)
    lab.release(replica)
    rest = response.read()
    response.connection.close()

    assert (first, rest) == (b"data: first\n\n", b"data: last\n\n")


@pytest.mark.parametrize("behaviour", ["slow", "slow_stream"])
def test_a_client_that_leaves_ends_the_request_at_the_replica_at_once(lab, behaviour: str) -> None:
    replica = lab.replica("a", behaviour)
    lab.route(assistant=[replica])
    client = socket.create_connection(lab.gateway.urls.public.removeprefix("http://").split(":"))
    body = b'{"model": "assistant", "stream": true}'
    client.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (CHAT.encode(), len(body), body))
    lab.eventually(lambda: lab.outstanding() == {"assistant": {"a": 1}}, "it is not outstanding")
    lab.eventually(lambda: replica.calls == 1, "it did not arrive")

    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()

    assert replica.cancelled.wait(5)
    lab.eventually(lambda: lab.outstanding() == {"assistant": {"a": 0}}, "it is still outstanding")
    assert lab.metric("requests_total")['{outcome="cancelled",service="assistant"}'] == 1


def test_a_client_that_leaves_while_it_waits_for_a_replica_is_forgotten(idle_lab) -> None:
    idle_lab.start(wait_for_replica_s=60)
    idle_lab.route(assistant=[])
    client = socket.create_connection(idle_lab.gateway.urls.public.removeprefix("http://").split(":"))
    client.sendall(b'POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 22\r\n\r\n{"model": "assistant"}' % CHAT.encode())
    idle_lab.eventually(lambda: idle_lab.metric("in_flight")[""] == 1, "it did not arrive")

    client.close()

    idle_lab.eventually(lambda: idle_lab.metric("in_flight")[""] == 0, "it is still there")


def test_a_stream_without_a_byte_for_the_idle_time_ends_with_an_error_event(idle_lab) -> None:
    idle_lab.start(idle_s=0.3)
    replica = idle_lab.replica("a", "slow_stream")
    idle_lab.route(assistant=[replica])

    answer = idle_lab.ask(body=STREAM)

    assert answer.body.startswith(b'data: first\n\ndata: {"error": {"message": "the replica sent nothing for too long')
    assert replica.cancelled.wait(5)


def test_a_replica_silent_for_the_idle_time_is_a_504_and_no_other_one_is_asked(idle_lab) -> None:
    idle_lab.start(idle_s=0.3)
    silent, spare = idle_lab.replica("a", "slow"), idle_lab.replica("b", "good")
    idle_lab.route(assistant=[silent, spare])

    answer = idle_lab.ask()

    assert (answer.status, answer.json["error"]["code"]) == (504, "upstream_silent")
    assert (silent.calls, spare.calls) == (1, 0)


def test_a_client_that_stops_reading_is_given_up_after_the_idle_time(idle_lab) -> None:
    idle_lab.start(idle_s=0.5)
    replica = idle_lab.replica("a", "endless")
    idle_lab.route(assistant=[replica])
    client = socket.create_connection(idle_lab.gateway.urls.public.removeprefix("http://").split(":"))
    client.sendall(b'POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 22\r\n\r\n{"model": "assistant"}' % CHAT.encode())

    assert replica.cancelled.wait(10)
    idle_lab.eventually(lambda: idle_lab.metric("in_flight")[""] == 0, "it is still there")
    client.close()


def test_a_body_that_does_not_arrive_is_a_408(idle_lab) -> None:
    idle_lab.start(idle_s=0.2)
    client = http.client.HTTPConnection(idle_lab.gateway.urls.public.removeprefix("http://"))
    client.putrequest("POST", CHAT)
    client.putheader("Content-Length", "50")
    client.endheaders(b'{"model": ')

    response = client.getresponse()

    assert response.status == 408
    client.close()


def test_a_slow_replica_gets_fewer_requests(lab) -> None:
    busy, free = lab.replica("a", "slow_stream"), lab.replica("b", "good")
    lab.route(assistant=[busy, free])
    held = lab.send("POST", CHAT, body=STREAM)
    assert held.getheader("x-headwater-replica") == "a"

    answers = [lab.ask() for _ in range(4)]

    assert [a.headers["x-headwater-replica"] for a in answers] == ["b"] * 4
    assert lab.outstanding() == {"assistant": {"a": 1, "b": 0}}
    lab.release(busy)
    held.read()
    held.connection.close()


def test_equal_replicas_take_turns(lab) -> None:
    lab.route(assistant=[lab.replica(name, "good") for name in "abc"])

    assert [lab.ask().headers["x-headwater-replica"] for _ in range(6)] == list("abcabc")


def test_the_first_byte_is_timed(lab) -> None:
    lab.route(assistant=[lab.replica("a", "good")])
    began_s = time.monotonic()

    lab.ask()

    assert 0 < lab.metric("first_byte_seconds_sum")['{service="assistant"}'] < time.monotonic() - began_s
