"""What a plan wants of a cluster and what a cluster has, from values, from a file and from an API server."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.adapters.catalog import read_catalog
from orchestrator.adapters.kubernetes import client
from orchestrator.adapters.kubernetes.pods import Object
from orchestrator.adapters.kubernetes.surroundings import OF_ADDONS, Access, surroundings
from orchestrator.adapters.kubernetes.wants import Want, rights, wants
from orchestrator.errors import Unavailable

Render = Callable[..., tuple[Object, ...]]
LABELS = {"accelerator": "huawei-Ascend910", "accelerator-type": "module-910b-8"}
DRIVER = "huawei.com/driver.version"


def a_node(name: str = "n", *, chips: int = 8, version: str = "v1.33.1", **labels: str) -> dict[str, Any]:
    return {
        "kind": "Node",
        "metadata": {"name": name, "labels": LABELS | {DRIVER: "25.2"} | labels},
        "status": {
            "allocatable": {"huawei.com/Ascend910": str(chips)},
            "nodeInfo": {"kubeletVersion": version},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def a_definition(group: str, kind: str) -> dict[str, Any]:
    return {"kind": "CustomResourceDefinition", "spec": {"group": group, "names": {"kind": kind}}}


def named(kind: str, name: str) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name}}


LWS = a_definition(OF_ADDONS["lws"], "LeaderWorkerSet")
WHOLE = [
    a_node("a"),
    a_node("b"),
    LWS,
    a_definition(OF_ADDONS["volcano"], "PodGroup"),
    named("RuntimeClass", "ascend"),
    named("StorageClass", "fast"),
]


def found(objects: tuple[Object, ...], cluster: list[Any], state: str = "lacking", **more: Any) -> dict[str, Want]:
    there = surroundings(cluster, access=[Access("create", "apps", "deployments", allowed=True)], **more)
    return {one.what: one for one in wants(objects, there, read_catalog()) if one.state == state}


def test_a_cluster_that_has_everything_lacks_nothing(rendered: Render) -> None:
    assert found(rendered(), WHOLE) == {}
    assert found(rendered(), WHOLE, "unknown") == {}


@pytest.mark.parametrize(
    ("cluster", "what", "how"),
    [
        pytest.param([*WHOLE[:2], *WHOLE[3:]], "kind LeaderWorkerSet", "kubernetes-sigs/lws", id="groups"),
        pytest.param([*WHOLE[:3], *WHOLE[4:]], "scheduler volcano", "ascend-for-volcano", id="the scheduler"),
        pytest.param([*WHOLE[:4], WHOLE[5]], "RuntimeClass ascend", "container runtime", id="the runtime"),
        pytest.param([a_node(chips=0), *WHOLE[2:]], "2 x huawei.com/Ascend910: 8", "mindcluster", id="the plugin"),
        pytest.param([a_node(), *WHOLE[2:]], "2 x huawei.com/Ascend910: 8", "headwater discover", id="room"),
        pytest.param([a_node(accelerator="x"), *WHOLE[2:]], "nodes with accelerator=", "pool's labels", id="nodes"),
        pytest.param(
            [a_node(), a_node("b", **{DRIVER: "24.1"}), *WHOLE[2:]], "one driver version", "to one driver", id="drivers"
        ),
    ],
)
def test_what_lacks_is_named_with_how_to_get_it(rendered: Render, cluster: list[Any], what: str, how: str) -> None:
    ((name, want),) = found(rendered(), cluster).items()

    assert name.startswith(what)
    assert how in want.how


def test_what_a_claim_an_image_and_a_secret_want_is_looked_at(rendered: Render) -> None:
    name = "vllm-ascend/DeepSeek-V3.2-Exp-W8A8"
    weights = {"images": {name: "org/w@sha256:" + "0" * 64}}
    site = {"kubernetes": {"has": ["volcano", "lws"], "weights": weights, "pullSecrets": ["pull"]}}
    objects = rendered(site=site)
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"}, "spec": {}}
    fast = claim | {"spec": {"storageClassName": "slow"}}

    lacking = found((*objects, claim, fast), WHOLE, version="v1.31.0")
    assert set(lacking) == {"volumes that are images", "a default StorageClass", "StorageClass slow"}
    assert set(found(objects, WHOLE, "unknown")) == {"Secret pull"}


def test_nodes_alone_leave_the_rest_unknown_and_nothing_is_lacking(rendered: Render) -> None:
    assert found(rendered(), WHOLE[:2]) == {}
    unknown = found(rendered(), WHOLE[:2], "unknown")
    assert {"kind LeaderWorkerSet", "scheduler volcano", "RuntimeClass ascend"} == set(unknown)


@pytest.mark.parametrize(
    ("node", "edge"),
    [
        (a_node(**{"openyurt.io/is-edge-worker": "true"}), "openyurt"),
        (a_node(**{"openyurt.io/is-edge-worker": "false"}), None),
        (a_node(**{"node-role.kubernetes.io/edge": ""}), "kubeedge"),
        (a_node(version="v1.22.6-kubeedge-v1.12.0"), "kubeedge"),
        (a_node(version="v1.31.4+k3s1"), "k3s"),
        (a_node(), None),
    ],
)
def test_what_joins_the_edge_is_read_from_nodes(node: dict[str, Any], edge: str | None) -> None:
    assert surroundings([node]).edge == edge


def test_addons_are_those_whose_kinds_are_served_and_hami_by_its_marks() -> None:
    every = [a_definition(group, "X") for group in OF_ADDONS.values()]
    node = a_node()
    node["metadata"]["annotations"] = {"hami.io/node-nvidia-register": "[]"}

    assert set(surroundings([node, *every]).addons) == {*OF_ADDONS, "hami"}
    assert surroundings([a_node()]).addons == ()


@pytest.mark.parametrize(
    "strange", [None, 1, "x", [], {}, {"kind": 1}, {"kind": "Node"}, {"kind": "Node", "metadata": 1}]
)
def test_anything_may_stand_in_a_snapshot(rendered: Render, strange: Any) -> None:
    found(rendered(), [strange, *WHOLE])


class Server:
    """A Kubernetes API that lists objects and answers reviews; forbids what it is told to forbid."""

    def __init__(self, folder: Path) -> None:
        self.lists = {"/api/v1/nodes": [WHOLE[0], WHOLE[1]], "/apis/node.k8s.io/v1/runtimeclasses": [WHOLE[4]]}
        self.lists["/apis/storage.k8s.io/v1/storageclasses"] = []
        self.forbidden = {"/apis/apiextensions.k8s.io/v1/customresourcedefinitions"}
        self.reviews: list[Any] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.split("?")[0]
                if path in outer.forbidden:
                    self.answer(403, {})
                elif path == "/version/":
                    self.answer(200, {"gitVersion": "v1.33.1"})
                else:
                    self.answer(200, {"items": outer.lists[path], "metadata": {}})

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.reviews.append(asked["spec"]["resourceAttributes"])
                self.answer(201, {"status": {"allowed": asked["spec"]["resourceAttributes"]["verb"] != "create"}})

            def answer(self, status: int, value: Any) -> None:
                body = json.dumps(value).encode()
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
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.server.server_port}"}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(config))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    one = Server(tmp_path)
    yield one
    one.server.shutdown()
    one.server.server_close()
    one.thread.join()


def test_a_cluster_is_read_and_what_it_forbids_counts_as_not_looked_at(server: Server, rendered: Render) -> None:
    objects = rendered()
    there = client.look(rights(objects), namespace="llm", kubeconfig=server.kubeconfig)

    assert (there.version, there.kinds, there.runtime_classes) == ("v1.33.1", None, frozenset({"ascend"}))
    assert [node["metadata"]["name"] for node in there.nodes] == ["a", "b"]
    assert {one["namespace"] for one in server.reviews} == {"llm"}
    lacking = {one.what for one in wants(objects, there, read_catalog()) if one.state == "lacking"}
    assert "right to create leaderworkersets.leaderworkerset.x-k8s.io" in lacking
    assert all(what.startswith("right to create ") for what in lacking)


def test_a_cluster_that_forgets_to_answer_is_unavailable(server: Server) -> None:
    server.server.shutdown()
    server.server.server_close()

    with pytest.raises(Unavailable):
        client.look(kubeconfig=server.kubeconfig)
