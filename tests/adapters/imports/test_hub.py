"""A hub over HTTP: only configuration and headers cross the network, and whatever it answers ends in a sentence."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub.constants
import pytest
from headers import in_bf16, safetensors_header, write_safetensors

from orchestrator.adapters.imports import hub
from orchestrator.adapters.imports.card import import_model
from orchestrator.adapters.imports.safetensors import INDEX
from orchestrator.errors import HeadwaterError, Invalid, Refused, Unavailable

CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "vocab_size": 8000,
    "torch_dtype": "bfloat16",
    "tie_word_embeddings": True,
}
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
TOTAL = 8000 * 1024 + 1024 + 2 * (4 * 1024 * 1024 + 3 * 4096 * 1024 + 2 * 1024)


class Hub:
    """A hub on this machine: files by path, what was asked, and how it misbehaves."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str, str]] = []
        self.sent_bytes = 0
        self.answer: Callable[[BaseHTTPRequestHandler], bool] = lambda _: False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append((self.path, self.headers["Range"], self.headers["Authorization"] or ""))
                if not outer.answer(self):
                    outer.give(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def give(self, to: BaseHTTPRequestHandler) -> None:
        body = self.files.get(to.path)
        if body is None:
            to.send_error(404)
            return
        begin, end = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", to.headers["Range"]).groups())  # type: ignore[union-attr]  # we ask in this form
        part = body[begin : end + 1]
        to.send_response(206)
        to.send_header("Content-Range", f"bytes {begin}-{begin + len(part) - 1}/{len(body)}")
        to.send_header("Content-Length", str(len(part)))
        to.end_headers()
        to.wfile.write(part)
        self.sent_bytes += len(part)

    def put(self, name: str, body: bytes, *, revision: str = "main") -> None:
        self.files[f"/org/name/resolve/{revision}/{name}"] = body


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with a model in two shards of zeros."""
    running = Hub()
    thread = threading.Thread(target=running.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", running.url)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (8000, 1024), "model.norm.weight": (1024,)}
    for layer in range(2):
        at = f"model.layers.{layer}."
        shapes |= {f"{at}self_attn.{name}_proj.weight": (1024, 1024) for name in "qkvo"}
        shapes |= {f"{at}mlp.{name}_proj.weight": (4096, 1024) for name in ("gate", "up", "down")}
        shapes |= {f"{at}{name}_layernorm.weight": (1024,) for name in ("input", "post_attention")}
    halves = ({"model.embed_tokens.weight": shapes.pop("model.embed_tokens.weight")}, shapes)
    for name, half in zip((FIRST, SECOND), halves, strict=True):
        header, payload = safetensors_header(in_bf16(half))
        running.put(name, len(header).to_bytes(8, "little") + header + bytes(payload))
    listed = {name: file for file, half in zip((FIRST, SECOND), halves, strict=True) for name in half}
    running.put(INDEX, json.dumps({"weight_map": listed}).encode())
    running.put("config.json", json.dumps(CONFIG).encode())
    running.put("README.md", b"---\nlicense: mit\n---\n")
    yield running
    running.server.shutdown()
    running.server.server_close()
    thread.join()


def test_only_configuration_and_headers_cross_the_network(local: Hub) -> None:
    found = import_model("hf://org/name")
    spec = found.card.spec

    assert found.total == TOTAL
    assert (spec.hub, spec.organisation, spec.licence.spdx, spec.sources) == (
        "org/name",
        "org",
        "MIT",
        ("hf://org/name",),
    )
    assert sum(len(body) for body in local.files.values()) > 2 * TOTAL
    assert local.sent_bytes < 3 * hub.FIRST_BYTES


def test_a_header_longer_than_the_first_request_is_fetched_whole(local: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "FIRST_BYTES", 64)

    assert import_model("hf://org/name").total == TOTAL
    assert {asked for path, asked, _ in local.asked if path.endswith(FIRST)} >= {"bytes=0-63"}


def test_a_model_in_one_file_has_no_index(local: Hub, tmp_path: Path) -> None:
    del local.files[f"/org/name/resolve/main/{INDEX}"]
    whole = write_safetensors(tmp_path / "x.safetensors", in_bf16({"model.embed_tokens.weight": (8000, 1024)}))
    local.put("model.safetensors", whole.read_bytes())

    with pytest.raises(Invalid, match="its weights hold 8,192,000"):
        import_model("hf://org/name")


def test_a_model_without_weights_is_read_from_its_configuration(local: Hub) -> None:
    del local.files[f"/org/name/resolve/main/{INDEX}"]

    assert import_model("hf://org/name").total is None


def test_a_revision_is_asked_for_by_name(local: Hub) -> None:
    local.put("config.json", json.dumps(CONFIG).encode(), revision="v1.0")

    assert import_model("hf://org/name@v1.0").card.spec.published is None
    assert {path.split("/")[4] for path, _, _ in local.asked} == {"v1.0"}


def test_the_token_goes_to_the_hub_and_not_where_it_sends_us(local: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_secret")

    def redirect(to: BaseHTTPRequestHandler) -> bool:
        if to.path.startswith("/cdn"):
            to.path = to.path.removeprefix("/cdn")
            return False
        to.send_response(302)
        to.send_header("Location", f"/cdn{to.path}")
        to.end_headers()
        return True

    local.answer = redirect
    assert import_model("hf://org/name").total == TOTAL
    assert {token for path, _, token in local.asked if not path.startswith("/cdn")} == {"Bearer hf_secret"}
    assert {token for path, _, token in local.asked if path.startswith("/cdn")} == {""}


def status(code: int) -> Callable[[BaseHTTPRequestHandler], bool]:
    def answer(to: BaseHTTPRequestHandler) -> bool:
        to.send_error(code)
        return True

    return answer


def whole_body(body: bytes, *, length: str | None = None) -> Callable[[BaseHTTPRequestHandler], bool]:
    """A server that has never heard of ranges."""

    def answer(to: BaseHTTPRequestHandler) -> bool:
        to.send_response(200)
        if length is not None:
            to.send_header("Content-Length", length)
        to.end_headers()
        to.wfile.write(body)
        return True

    return answer


@pytest.mark.parametrize(
    ("answer", "error", "sentence"),
    [
        pytest.param(status(404), Invalid, "no config.json under that name", id="no such model"),
        pytest.param(status(401), Refused, "its terms must be accepted", id="gated"),
        pytest.param(status(403), Refused, "its terms must be accepted", id="forbidden"),
        pytest.param(status(500), Unavailable, "answers 500", id="broken"),
        pytest.param(status(429), Unavailable, "answers 429", id="too many requests"),
        pytest.param(status(416), Invalid, "empty file", id="an empty file"),
        pytest.param(whole_body(b"<html>", length="6"), Invalid, "is not JSON", id="a page in place of a file"),
        pytest.param(whole_body(b"{}"), Refused, "does not say how large", id="no length"),
        pytest.param(whole_body(b"{}", length="9" * 30), Refused, "does not say how large", id="an absurd length"),
        pytest.param(
            whole_body(b"{}", length="99999999"), Unavailable, "no hub answers|larger|at most", id="a cut answer"
        ),
    ],
)
def test_whatever_the_hub_answers_ends_in_a_sentence(
    local: Hub, answer: Callable[[BaseHTTPRequestHandler], bool], error: type[Exception], sentence: str
) -> None:
    local.answer = answer

    with pytest.raises(HeadwaterError, match=sentence) as told:
        import_model("hf://org/name")
    assert isinstance(told.value, error | Refused)


def test_a_shard_that_the_hub_lacks_is_named(local: Hub) -> None:
    del local.files[f"/org/name/resolve/main/{SECOND}"]

    with pytest.raises(Invalid, match=f"names {SECOND}, which the hub does not have"):
        import_model("hf://org/name")


def test_a_header_that_lies_about_its_length_is_refused(local: Hub) -> None:
    local.put(SECOND, (1 << 40).to_bytes(8, "little") + b"{}")

    with pytest.raises(Invalid, match="is cut off"):
        import_model("hf://org/name")


def test_without_a_hub_the_answer_is_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")

    with pytest.raises(
        Unavailable, match=r"no hub answers .*; set .HF_ENDPOINT to a hub that can be reached, or download"
    ):
        import_model("hf://org/name")


def test_a_user_who_is_offline_is_not_kept_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)

    with pytest.raises(Unavailable, match="HF_HUB_OFFLINE is set"):
        import_model("hf://org/name")


@pytest.mark.parametrize("name", ["nameless", "../../etc", "a/b/c", "a/b@../x", "a b/c", "/a", "a/", "org/name@"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="hf://organisation/name"):
        import_model(f"hf://{name}")


def test_an_endpoint_that_is_no_web_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "file:///etc")

    with pytest.raises(Invalid, match="HF_ENDPOINT is file:///etc"):
        import_model("hf://org/name")
