"""The catalog: everything shipped loads, says what the sources say, and user folders go over it."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.adapters import catalog as module
from orchestrator.adapters.catalog import read_catalog
from orchestrator.api.load import load_bytes
from orchestrator.api.references import check_references
from orchestrator.errors import InvalidSpec

MANIFESTS = Path(__file__).parents[2] / "manifests"
FILES = sorted([*(MANIFESTS / "catalog").rglob("*.yaml"), *(MANIFESTS / "examples").rglob("*.yaml")])
FOLDERS = {
    "models": "models",
    "hardware": "profiles",
    "engines": "engines",
    "kubernetes": "clusters",
    "calibrations": "calibrations",
}
MODEL = """\
apiVersion: headwater.dev/v1alpha1
kind: Model
metadata: {name: NAME}
spec:
  family: mine
  organisation: Mine
  licence: {spdx: MIT, status: verified}
  architecture:
    hiddenSize: 8
    vocabulary: 64
    layers: [{count: 2, grouped: {heads: 2, kvHeads: 1, headDim: 4}, dense: {intermediateSize: 16}}]
  context: 128
  native: bf16
  published: {total: 1000}
"""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_shipped_file_loads_and_refers_to_what_is_there(path: Path) -> None:
    loaded = load_bytes(path.read_bytes(), path.name)

    assert loaded
    assert check_references(loaded, read_catalog()) == ()


def test_every_shipped_file_is_in_the_catalog_under_its_own_name() -> None:
    catalog = read_catalog()

    for folder, kind in FOLDERS.items():
        known = getattr(catalog, kind)
        assert sorted(known) == sorted(path.stem for path in (MANIFESTS / "catalog" / folder).glob("*.yaml"))


def test_a_910b3_pod_asks_for_what_mindcluster_publishes() -> None:
    catalog = read_catalog()
    profile = catalog.profiles["ascend-910b3"]
    cluster = catalog.cluster_of(profile)
    assert cluster is not None
    pod = cluster.spec.pod

    assert (cluster.spec.resources[0].name, cluster.spec.counts) == ("huawei.com/Ascend910", (1, 2, 3, 4, 5, 6, 7, 8))
    assert (pod.scheduler, pod.runtime_class) == ("volcano", "ascend")
    assert pod.labels == {"ring-controller.atlas": "ascend-910b"}
    assert pod.annotations == {"huawei.com/schedule_policy": "chip8-node8"}
    assert "/usr/local/Ascend/driver/lib64" in pod.host_paths
    assert pod.multi_node_host_paths == ("/etc/hccn.conf",)
    assert profile.spec.node_labels["node.kubernetes.io/npu.chip.name"] == "910B3"


def test_a_document_of_a_user_goes_over_the_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "mine.yml").write_text(MODEL.replace("NAME", "mine"))
    (tmp_path / "over.yaml").write_text(MODEL.replace("NAME", "qwen3-0.6b"))
    (tmp_path / "notes.txt").write_text("not a document")

    models = read_catalog([tmp_path]).models

    assert models["mine"].spec.architecture is not None
    assert models["mine"].spec.architecture.layers[0].count == 2
    assert models["qwen3-0.6b"].spec.organisation == "Mine"
    assert "mine" not in read_catalog().models


def test_every_problem_of_every_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(MODEL.replace("NAME", "Bad_Name"))
    (tmp_path / "b.yaml").write_bytes(b"\x00")
    (tmp_path / "c.yaml").write_bytes((MANIFESTS / "examples" / "quickstart.yaml").read_bytes())

    with pytest.raises(InvalidSpec) as caught:
        read_catalog([tmp_path, tmp_path / "missing"])

    told = {(Path(problem.file).name, problem.path) for problem in caught.value.problems}
    assert told == {("a.yaml", "metadata.name"), ("b.yaml", ""), ("c.yaml", "kind"), ("missing", "")}


def test_what_is_kept_of_the_shipped_catalog_is_the_same_and_never_believed_when_broken(tmp_path: Path) -> None:
    kept = tmp_path / "cache" / "catalog.json"
    first = read_catalog(kept=kept)

    again = []
    for content in (kept.read_bytes(), b"{", b'{"stamp": "old"}', b'[["Model", "x"]]'):
        kept.write_bytes(content)
        module._shipped.cache_clear()
        again.append(read_catalog(kept=kept))

    assert again == [first] * 4
