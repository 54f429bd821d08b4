"""`render` into folders, and `discover` and `doctor` on a cluster's snapshot, as commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cli.main import app
from cli.tree import INDEX, write_tree
from orchestrator.api.load import load
from runtimes.errors import Invalid, Refused

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "manifests/examples/quickstart.yaml"
LABELS = {
    "accelerator": "huawei-Ascend910",
    "accelerator-type": "module-910b-8",
    "node.kubernetes.io/npu.chip.name": "910B3",
}


def run(*arguments: object, code: int = 0, home: Path | None = None) -> Any:
    done = CliRunner().invoke(app, [str(one) for one in arguments], env={"HEADWATER_HOME": str(home)} if home else {})
    assert done.exit_code == code, (done.output, done.exception)
    return done


def snapshot(folder: Path, *more: dict[str, Any]) -> Path:
    nodes = [
        {
            "kind": "Node",
            "metadata": {"name": f"n{index}", "labels": LABELS},
            "status": {
                "allocatable": {"huawei.com/Ascend910": "8"},
                "conditions": [{"type": "Ready", "status": "True"}],
                "nodeInfo": {"kubeletVersion": "v1.33.1"},
            },
        }
        for index in range(4)
    ]
    path = folder / "cluster.json"
    path.write_text(json.dumps({"kind": "List", "items": [*nodes, *more]}))
    return path


LWS = {
    "kind": "CustomResourceDefinition",
    "spec": {"group": "leaderworkerset.x-k8s.io", "names": {"kind": "LeaderWorkerSet"}},
}


def test_a_base_lists_a_file_an_object_and_a_second_time_changes_nothing(tmp_path: Path) -> None:
    base = tmp_path / "base"
    first = run("render", QUICKSTART, "--kustomize", base, "--output", "json", home=tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in base.iterdir() if path.name != INDEX}
    again = run("render", QUICKSTART, "--kustomize", base, "--output", "json", home=tmp_path)

    listed = yaml.safe_load((base / "kustomization.yaml").read_text())["resources"]
    assert sorted([*listed, "kustomization.yaml"]) == json.loads(first.stdout)["written"]
    assert json.loads(again.stdout)["written"] == []
    assert {path.name: path.stat().st_mtime_ns for path in base.iterdir() if path.name != INDEX} == before
    kinds = [yaml.safe_load((base / name).read_text())["kind"] for name in listed]
    assert {"LeaderWorkerSet", "Service", "ServiceAccount", "PodDisruptionBudget"} == set(kinds)


def test_what_a_former_render_wrote_goes_and_what_others_wrote_stays(tmp_path: Path) -> None:
    (tmp_path / "theirs.yaml").write_text("a: 1")
    write_tree(tmp_path, {"a.yaml": "1", "b.yaml": "2", "c.yaml": "3"}, dry_run=False)
    (tmp_path / "c.yaml").write_text("changed")

    dry = write_tree(tmp_path, {"a.yaml": "1"}, dry_run=True)
    assert (tmp_path / "b.yaml").exists()
    changes = write_tree(tmp_path, {"a.yaml": "1"}, dry_run=False)

    assert dry == changes
    assert (changes.unchanged, changes.removed, changes.kept) == (("a.yaml",), ("b.yaml",), ("c.yaml",))
    assert {path.name for path in tmp_path.iterdir()} == {"a.yaml", "c.yaml", "theirs.yaml", INDEX}
    with pytest.raises(Refused, match=r"theirs\.yaml in"):
        write_tree(tmp_path, {"theirs.yaml": "b: 2"}, dry_run=False)
    assert (tmp_path / "theirs.yaml").read_text() == "a: 1"


@pytest.mark.parametrize("index", ["", "[]", "{}", '{"files": {"../x": "0"}}', '{"files": {"x": 1}}', '{"files": 1}'])
def test_an_index_that_is_none_is_named_and_touches_nothing(tmp_path: Path, index: str) -> None:
    (tmp_path / INDEX).write_text(index)

    with pytest.raises(Invalid, match="remove it"):
        write_tree(tmp_path, {"a.yaml": "1"}, dry_run=False)
    assert {path.name for path in tmp_path.iterdir()} == {INDEX}


def test_a_discovered_site_can_be_planned_on_and_says_what_is_installed(tmp_path: Path) -> None:
    told = run("discover", "--snapshot", snapshot(tmp_path, LWS), "--site", "wuxi", home=tmp_path)
    ((found),) = load(told.stdout, "site.yaml")

    assert found.document.spec.kubernetes.has == ("lws",)
    assert (found.document.spec.pools[0].profile, found.document.spec.pools[0].nodes) == ("ascend-910b3", 4)
    assert "runtime classes: none" in told.stderr
    as_json = json.loads(run("discover", "--snapshot", snapshot(tmp_path, LWS), "-o", "json", home=tmp_path).stdout)
    assert as_json["spec"]["kubernetes"] == {"has": ["lws"]}


def test_a_doctor_ends_with_one_and_says_how_to_get_what_lacks(tmp_path: Path) -> None:
    told = run("doctor", QUICKSTART, "--snapshot", snapshot(tmp_path, LWS), "-o", "json", code=1, home=tmp_path)
    value = json.loads(told.stdout)
    lacking = {one["what"]: one["how"] for one in value["wants"] if one["state"] == "lacking"}

    assert set(lacking) == {"scheduler volcano", "RuntimeClass ascend"}
    assert value["lacking"] == 2
    table = run("doctor", QUICKSTART, "--snapshot", snapshot(tmp_path, LWS), code=1, home=tmp_path).stdout
    assert "install Volcano" in table


def test_a_doctor_ends_with_zero_where_nothing_lacks(tmp_path: Path) -> None:
    volcano = {
        "kind": "CustomResourceDefinition",
        "spec": {"group": "scheduling.volcano.sh", "names": {"kind": "PodGroup"}},
    }
    runtime = {"kind": "RuntimeClass", "metadata": {"name": "ascend"}}

    run("doctor", QUICKSTART, "--snapshot", snapshot(tmp_path, LWS, volcano, runtime), home=tmp_path)


def test_a_snapshot_and_a_context_exclude_each_other(tmp_path: Path) -> None:
    done = run("discover", "--snapshot", snapshot(tmp_path), "--context", "x", code=1)

    assert isinstance(done.exception, Invalid)
