"""The client against a server of our own: pages, and every way a cluster can say no."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from orchestrator.adapters.kubernetes import client
from orchestrator.errors import HeadwaterError, Invalid, Refused, Unavailable

Answer = Callable[[str], tuple[int, bytes]]


class Cluster:
    """Answers every request with what a function says of its path."""

    def __init__(self, folder: Path) -> None:
        self.answer: Answer = lambda _path: (404, b"{}")
        self.paths: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.paths.append(self.path)
                status, body = outer.answer(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        self.kubeconfig = folder / "config"
        self.write(f"http://127.0.0.1:{self.server.server_port}")

    def write(self, server: str) -> None:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(config))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    one = Cluster(tmp_path)
    yield one
    one.server.shutdown()
    one.server.server_close()
    one.thread.join()


def test_nodes_are_read_in_pages(cluster: Cluster) -> None:
    def answer(path: str) -> tuple[int, bytes]:
        first = "continue=" not in path
        item = {"metadata": {"name": "a" if first else "b"}}
        return 200, json.dumps({"items": [item], "metadata": {"continue": "more"} if first else {}}).encode()

    cluster.answer = answer

    nodes = client.list_nodes("here", cluster.kubeconfig)

    assert [node["metadata"]["name"] for node in nodes] == ["a", "b"]
    assert [path.split("?")[0] for path in cluster.paths] == ["/api/v1/nodes"] * 2


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (401, b"{}", Refused, "answers 401"),
        (403, b"{}", Refused, "right to list nodes"),
        (404, b"{}", Refused, "answers 404"),
        (429, b"{}", Unavailable, "answers 429"),
        (500, b"{}", Unavailable, "answers 500"),
        (200, b"<html>", Invalid, "cannot be used"),
        (200, b"{}", Invalid, "cannot be used"),
        (200, b"[]", Invalid, "cannot be used"),
    ],
)
def test_what_a_cluster_answers_becomes_who_acts_next(
    cluster: Cluster, status: int, body: bytes, kind: type[HeadwaterError], said: str
) -> None:
    cluster.answer = lambda _path: (status, body)

    with pytest.raises(kind, match=said):
        client.list_nodes(None, cluster.kubeconfig)


def test_a_cluster_that_is_not_there_is_unavailable(cluster: Cluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    cluster.write(f"http://127.0.0.1:{port}")

    with pytest.raises(Unavailable, match="does not answer"):
        client.list_nodes(None, cluster.kubeconfig)


@pytest.mark.parametrize("text", ["", "{", "a: b", "\0", "- 1"])
def test_a_kubeconfig_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)

    with pytest.raises(Invalid, match="kubeconfig"):
        client.list_nodes(None, path)


def test_a_context_that_is_not_there_is_named(cluster: Cluster) -> None:
    with pytest.raises(Invalid, match="elsewhere"):
        client.list_nodes("elsewhere", cluster.kubeconfig)
