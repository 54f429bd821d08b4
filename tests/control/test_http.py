"""The control API through a real HTTP client: who may, what comes back, and how bad input is answered."""

from __future__ import annotations

import asyncio
import json
import socket
from io import BytesIO
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from worlds import a_catalog, a_model, a_service, a_site, an_outside

from orchestrator.api.kinds import as_json, from_json
from orchestrator.control.http import LARGEST_BODY_BYTES, Api, serve
from orchestrator.control.loop import Controller
from orchestrator.errors import Unavailable
from orchestrator.ports import Outside

SERVICE = """
apiVersion: headwater.dev/v1alpha1
kind: ModelService
metadata: {name: chat}
spec:
  student: {model: tiny, quantization: [int4], context: 256}
  demand: {rate: 1/h, input: 16, output: 16}
"""


def answers(outside: Outside, *requests: tuple[str, str, str], token: str | None = "secret") -> list[tuple[int, Any]]:
    """Status and JSON of each (method, path, body), one after the other."""

    async def ask() -> list[tuple[int, Any]]:
        api = Api(Controller(outside, every_s=1.0, clock=lambda: 7.0), a_catalog(), "secret")
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        found = []
        async with TestClient(TestServer(api.app)) as client:
            for method, path, body in requests:
                async with client.request(method, path, data=BytesIO(body.encode()), headers=headers) as answer:
                    text = await answer.text()
                    json_like = answer.content_type == "application/json"
                    found.append((answer.status, json.loads(text) if json_like else text))
        return found

    return asyncio.run(ask())


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(None, id="none"),
        pytest.param("", id="empty"),
        pytest.param("wrong", id="wrong"),
        pytest.param("secret2", id="longer"),
        pytest.param("sécret", id="not ascii"),
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/status"),
        ("POST", "/v1/apply"),
        ("DELETE", "/v1/documents/ModelService/chat"),
        ("GET", "/v1/documents"),
        ("GET", "/metrics"),
        ("GET", "/no"),
    ],
)
def test_without_the_token_nothing_is_answered(token: str | None, method: str, path: str) -> None:
    outside = an_outside()

    assert answers(outside, (method, path, ""), token=token) == [(401, {"error": "wrong or missing token"})]
    assert len(outside.store.documents()) == 2


def test_bytes_that_are_no_text_are_a_wrong_token() -> None:
    async def ask() -> bytes:
        app = Api(Controller(an_outside(), every_s=1.0), a_catalog(), "secret").app
        async with TestServer(app) as server:
            reader, writer = await asyncio.open_connection(server.host, server.port)
            writer.write(
                b"GET /v1/status HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\r\nConnection: close\r\n\r\n"
            )
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            return answer

    assert asyncio.run(ask()).startswith(b"HTTP/1.1 401 ")


def test_health_needs_no_token() -> None:
    assert answers(an_outside(), ("GET", "/healthz", ""), token=None) == [(200, {"status": "ok"})]


def test_status_answers_before_the_first_pass() -> None:
    ((status, view),) = answers(an_outside(), ("GET", "/v1/status", ""))

    assert (status, view["services"], view["error"]) == (200, [], "")


def test_what_is_applied_is_kept_and_the_same_again_changes_nothing() -> None:
    outside = an_outside(a_site())

    first, second = answers(outside, ("POST", "/v1/apply", SERVICE), ("POST", "/v1/apply", SERVICE))

    assert (first[0], first[1]["changed"], second[0], second[1]["changed"]) == (200, ["ModelService/chat"], 200, [])
    assert [document.kind for document in outside.store.documents()] == ["ModelService", "Site"]


@pytest.mark.parametrize(
    ("asked", "status", "kept"),
    [
        pytest.param("true", 200, False, id="true is a dry run"),
        pytest.param("false", 200, True, id="false is not"),
        pytest.param("1", 400, False, id="anything else is refused, and nothing is done"),
    ],
)
def test_dry_run(asked: str, status: int, *, kept: bool) -> None:
    outside = an_outside(a_site())

    ((found, view),) = answers(outside, ("POST", f"/v1/apply?dryRun={asked}", SERVICE))

    assert (found, len(outside.store.documents()) == 2) == (status, kept)
    if status == 400:
        assert view["problems"] == ["dryRun='1' must be true or false"]


def test_everything_wrong_with_a_text_is_said_at_once_and_nothing_is_kept() -> None:
    """Promise 9: bad input gets a clear error, with its line, and loses nothing."""
    outside = an_outside(a_site())
    bad = SERVICE.replace("rate: 1/h", "rate: 1").replace("context: 256", "context: -1")

    ((status, view),) = answers(outside, ("POST", "/v1/apply", bad))

    assert status == 400
    assert [problem.split(": ")[0:2] for problem in view["problems"]] == [
        ["request:6", "spec.student.context"],
        ["request:7", "spec.demand.rate"],
    ]
    assert outside.store.documents() == (a_site(),)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param("", 400, id="nothing"),
        pytest.param("\x00\x01", 400, id="bytes"),
        pytest.param("{[", 400, id="no YAML"),
        pytest.param(SERVICE.replace("tiny", "unknown"), 400, id="a model nobody knows"),
        pytest.param("a" * (LARGEST_BODY_BYTES + 1), 413, id="more than a megabyte"),
    ],
)
def test_a_bad_body_gets_a_sentence(body: str, status: int) -> None:
    ((found, view),) = answers(an_outside(), ("POST", "/v1/apply", body))

    assert found == status
    assert view["problems"]
    assert all(view["problems"])


def test_a_model_applied_before_is_known_to_the_next_request() -> None:
    outside = an_outside(a_site(), a_model("brought"))

    ((status, view),) = answers(outside, ("POST", "/v1/apply", SERVICE.replace("tiny", "brought")))

    assert (status, view["changed"]) == (200, ["ModelService/chat"])


def test_deleting_answers_once_and_then_names_what_there_is() -> None:
    outside = an_outside(a_service(), a_service("talk"), a_site())
    delete = ("DELETE", "/v1/documents/ModelService/chat", "")
    no = "no ModelService 'chat' here; there is: talk"

    assert answers(outside, delete, delete) == [
        (200, {"deleted": "ModelService/chat"}),
        (400, {"error": no, "problems": [no]}),
    ]
    assert answers(outside, ("DELETE", "/v1/documents/Site/lab", ""))[0][0] == 200
    assert outside.store.documents() == (a_service("talk"),)


def test_every_document_is_given_as_it_was_written() -> None:
    ((status, view),) = answers(an_outside(a_service(), a_site(), a_model("brought")), ("GET", "/v1/documents", ""))

    assert status == 200
    assert [from_json(one["kind"], json.dumps(one)) for one in view["documents"]] == [
        a_model("brought"), a_service(), a_site()
    ]  # fmt: skip


def test_a_site_applied_before_is_known_to_a_request_that_brings_another() -> None:
    other = "\n---\n" + json.dumps(as_json(a_site("shed")))
    wants = SERVICE.replace("context: 256", "context: 256, where: {site: lab}")

    ((status, view),) = answers(an_outside(a_site()), ("POST", "/v1/apply", wants + other))

    assert (status, view.get("changed")) == (200, ["ModelService/chat", "Site/shed"])


def test_it_listens_when_serving_has_begun_and_says_when_it_cannot() -> None:
    api = Api(Controller(an_outside(), every_s=1.0), a_catalog(), "secret")
    port = serve(api.app, 0)
    with socket.create_connection(("127.0.0.1", port), timeout=5), pytest.raises(Unavailable, match=f"port {port}"):
        serve(api.app, port)


def test_an_unknown_path_is_answered_in_the_same_shape() -> None:
    ((status, view),) = answers(an_outside(), ("GET", "/v2/status", ""))

    assert (status, view) == (404, {"error": "404: Not Found", "problems": ["404: Not Found"]})


def test_metrics_are_text_for_prometheus() -> None:
    ((status, text),) = answers(an_outside(), ("GET", "/metrics", ""))

    assert status == 200
    assert "headwater_plan_cost_per_hour" in text
