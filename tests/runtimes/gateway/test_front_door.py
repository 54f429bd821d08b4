"""What clients may send, what they get back, and what replicas get to see."""

import json
import re

import openai
import pytest

CHAT = "/v1/chat/completions"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        pytest.param(b"", 400, "invalid_json", id="nothing"),
        pytest.param(b"{", 400, "invalid_json", id="broken JSON"),
        pytest.param(b"\xff\xfe", 400, "invalid_json", id="no UTF-8"),
        pytest.param(b"[" * 5_000, 400, "invalid_json", id="endless nesting"),
        pytest.param(b"[1]", 400, "invalid_json", id="a list"),
        pytest.param(b"{}", 400, "missing_model", id="no model"),
        pytest.param({"model": 3}, 400, "missing_model", id="a number as model"),
        pytest.param({"model": ""}, 400, "missing_model", id="an empty model"),
        pytest.param({"model": "other"}, 404, "model_not_found", id="an unknown model"),
        pytest.param({"model": "x" * 5000}, 404, "model_not_found", id="a long model name"),
        pytest.param(b'{"model": "assistant", "x": "' + b"y" * 5000 + b'"}', 413, "body_too_large", id="a large body"),
    ],
)
def test_a_request_is_refused_in_the_openai_shape_for(idle_lab, body: object, status: int, code: str) -> None:
    idle_lab.start(body_limit_bytes=5020)
    replica = idle_lab.replica("a", "good")
    idle_lab.route(assistant=[replica])

    answer = idle_lab.ask(body=body)

    assert (answer.status, answer.json["error"]["code"]) == (status, code)
    assert set(answer.json["error"]) == {"message", "type", "param", "code"}
    assert len(answer.json["error"]["message"]) < 400
    assert replica.calls == 0


def test_a_chunked_body_over_the_limit_is_refused(idle_lab) -> None:
    idle_lab.start(body_limit_bytes=1000)
    idle_lab.route(assistant=[])
    chunk = b"7d0\r\n" + b"x" * 2000 + b"\r\n0\r\n\r\n"

    response = idle_lab.send("POST", CHAT, body=chunk, headers={"Transfer-Encoding": "chunked"})

    assert response.status == 413
    response.connection.close()


def test_a_body_that_is_not_packed_as_it_says_is_a_400(lab) -> None:
    answer = lab.ask(body=b"not gzip", headers={"Content-Encoding": "gzip"})

    assert answer.status == 400


def test_a_large_body_within_the_limit_arrives_whole(lab) -> None:
    replica = lab.replica("a", "good")
    lab.route(assistant=[replica])
    body = json.dumps({"model": "assistant", "messages": "x" * 3_500_000}).encode()

    assert lab.ask(body=body).status == 200
    assert replica.bodies == [body]


def test_an_unknown_model_is_answered_with_the_known_ones(lab) -> None:
    lab.route(writer=[], assistant=[])

    answer = lab.ask(body={"model": "gpt"})

    assert answer.json["error"]["message"].endswith("set model to one of: assistant, writer")
    assert answer.json["error"]["param"] == "model"
    assert lab.metric("requests_total") == {'{outcome="invalid",service="unknown"}': 1}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("GET", "/v1/nothing", 404, id="an unknown path"),
        pytest.param("POST", "/", 404, id="the root"),
        pytest.param("GET", CHAT, 405, id="a wrong method"),
        pytest.param("DELETE", "/v1/models", 405, id="another wrong method"),
        pytest.param("GET", "/admin/routes", 404, id="the controller's path on the clients' port"),
        pytest.param("GET", "/metrics", 404, id="metrics on the clients' port"),
    ],
)
def test_paths_and_methods_that_do_not_exist_are_refused_in_the_openai_shape(lab, method, path, status) -> None:
    answer = lab.ask(method, path)

    assert answer.status == status
    assert answer.json["error"]["type"] == "invalid_request_error"
    assert answer.headers["x-request-id"]


def test_the_services_are_listed_as_models(lab) -> None:
    lab.route(writer=[], assistant=[])

    listed = lab.ask("GET", "/v1/models").json

    assert listed["object"] == "list"
    assert [m["id"] for m in listed["data"]] == ["assistant", "writer"]


def test_one_service_is_found_by_its_name(lab) -> None:
    lab.route(writer=[], assistant=[])

    listed = lab.ask("GET", "/v1/models").json["data"]
    missing = lab.ask("GET", "/v1/models/org/other")

    assert [lab.ask("GET", f"/v1/models/{name}").json for name in ("assistant", "writer")] == listed
    assert (missing.status, missing.json["error"]["code"]) == (404, "model_not_found")
    assert missing.headers["x-request-id"]


def test_it_is_ready_once_it_has_a_route_table(lab) -> None:
    assert lab.ask("GET", "/healthz").status == 200
    assert lab.ask("GET", "/readyz").status == 503

    lab.route()

    assert lab.ask("GET", "/readyz").status == 200


def test_credentials_and_hop_by_hop_headers_stop_at_the_gateway(lab) -> None:
    replica = lab.replica("a", "good")
    lab.route(assistant=[replica])
    sent = {
        "Authorization": "Bearer secret",
        "Api-Key": "secret",
        "X-Api-Key": "secret",
        "Cookie": "secret=1",
        "Proxy-Authorization": "secret",
        "Connection": "keep-alive, X-Private",
        "X-Private": "secret",
        "Keep-Alive": "secret",
        "TE": "trailers",
        "X-Latin": "\xff",
        "X-Kept": "yes",
        "Content-Type": "application/json; charset=utf-8",
    }

    answer = lab.ask(headers=sent)
    seen = replica.headers[0]

    assert answer.status == 200
    assert "secret" not in str(seen)
    assert set(seen) == {"host", "content-length", "content-type", "x-kept", "x-request-id"}
    assert seen["host"] == replica.url.removeprefix("http://")
    assert seen["content-type"] == sent["Content-Type"]
    assert answer.headers["x-engine"] == "fake"
    assert "keep-alive" not in answer.headers


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param("abc-1.2:3_4", True, id="well formed"),
        pytest.param(None, False, id="absent"),
        pytest.param("", False, id="empty"),
        pytest.param("x" * 129, False, id="too long"),
        pytest.param("a b", False, id="a space"),
        pytest.param("\xe4", False, id="beyond ASCII"),
    ],
)
def test_a_request_id_is_kept_only_when(lab, given: str | None, kept: bool) -> None:  # noqa: FBT001 a table's column
    replica = lab.replica("a", "good")
    lab.route(assistant=[replica])

    answer = lab.ask(headers={} if given is None else {"X-Request-Id": given})
    returned = answer.headers["x-request-id"]

    assert returned == replica.headers[0]["x-request-id"]
    assert (returned == given) if kept else re.fullmatch("[0-9a-f]{32}", returned)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"])
def test_every_known_path_is_forwarded(lab, path: str) -> None:
    lab.route(assistant=[lab.replica("a", "good")])

    assert lab.ask("POST", path).status == 200


def test_the_openai_client_works_through_the_gateway(lab) -> None:
    lab.route(assistant=[lab.replica("a", "good")])
    question = [{"role": "user", "content": "hi"}]

    with openai.OpenAI(base_url=lab.gateway.urls.public + "/v1", api_key="unused", max_retries=0) as client:
        whole = client.chat.completions.create(model="assistant", messages=question)
        chunks = list(client.chat.completions.create(model="assistant", messages=question, stream=True))
        models = [m.id for m in client.models.list()]
        found = client.models.retrieve("assistant")
        with pytest.raises(openai.NotFoundError, match="not served here"):
            client.chat.completions.create(model="other", messages=question)

    assert whole.choices[0].message.content == "hello from a"
    assert "".join(c.choices[0].delta.content for c in chunks) == "one two"
    assert models == [found.id] == ["assistant"]


def test_the_openai_client_raises_when_a_stream_breaks(lab) -> None:
    lab.route(assistant=[lab.replica("a", "dying_between_events")])

    with openai.OpenAI(base_url=lab.gateway.urls.public + "/v1", api_key="unused", max_retries=0) as client:
        stream = client.chat.completions.create(model="assistant", messages=[], stream=True)
        with pytest.raises(openai.APIError, match="send the request again"):
            list(stream)
