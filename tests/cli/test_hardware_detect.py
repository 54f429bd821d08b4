"""`headwater hardware detect` on hosts with and without chips, and on files of nodes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from cli import hardware_detect
from orchestrator.adapters.hosts.detect import TOOLS
from orchestrator.api.load import load
from orchestrator.api.site import Site
from runtimes.errors import Invalid

RECORDED = Path(__file__).parents[1] / "adapters" / "hosts" / "recorded"
Run = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, machine: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A search path without vendors' tools, and a home that has been measured."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "machine.json").write_bytes(machine)
    (tmp_path / "bin").mkdir()
    for program in ("sh", "cat", "env"):
        (tmp_path / "bin" / program).symlink_to(f"/bin/{program}")
    monkeypatch.setenv("HEADWATER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Run:
    assert (folder / "home").is_dir()
    app = typer.Typer()
    app.callback()(lambda: None)
    hardware_detect.register(app)

    def run(*arguments: str, text: str | None = None) -> Result:
        return CliRunner().invoke(app, ["detect", *arguments], input=text, env={"COLUMNS": "300"})

    return run


def a_tool(folder: Path, name: str, recorded: str) -> None:
    path = folder / "bin" / name
    lines = (RECORDED / f"{recorded}.txt").read_text().split("\n", 1)[1]
    (folder / recorded).write_text(lines)
    path.write_text(f"#!/bin/sh\nexec cat {folder / recorded}\n")
    path.chmod(0o755)


def sites(text: str) -> list[Site]:
    return [one.document for one in load(text, "site.yaml") if isinstance(one.document, Site)]


no_chips = pytest.mark.skipif(
    any(Path("/sys/bus/pci/devices").glob("*/drm")) or Path("/dev/davinci0").exists(), reason="this host has chips"
)


@no_chips
def test_a_host_with_only_a_processor_is_a_site_of_it(run: Run) -> None:
    result = run("--output", "yaml", "--region", "cn-east")

    assert result.exit_code == 0
    assert [pool.profile for pool in sites(result.stdout)[0].spec.pools] == ["local"]
    assert sites(result.stdout)[0].spec.region == "cn-east"


def test_what_tools_show_becomes_pools_with_the_memory_they_read(run: Run, folder: Path) -> None:
    a_tool(folder, "npu-smi", "npu_smi_310p_duo")
    a_tool(folder, "cnmon", "cnmon_4")

    result = run("--output", "yaml", "--site", "box-1")

    site = sites(result.stdout)[0]
    assert result.exit_code == 0
    assert site.metadata.name == "box-1"
    assert [(pool.profile, pool.chips, pool.memory) for pool in site.spec.pools] == [
        ("local", 1, None),
        ("ascend-310p", 2, 43693 << 20),
    ]


def test_programs_get_everything_that_was_found(run: Run, folder: Path) -> None:
    a_tool(folder, "npu-smi", "npu_smi_a3")

    value: dict[str, Any] = json.loads(run("--output", "json").stdout)

    assert value["processor"]["bandwidthBytesPerSecond"] > 0
    chip = next(one for one in value["chips"] if one["vendor"] == "Huawei")
    assert (chip["name"], chip["count"], chip["profile"], chip["source"]) == ("Ascend910", 2, "ascend-910c", "npu-smi")
    assert chip["pciAddresses"] == ["0000:9d:00.0", "0000:9f:00.0"]


def test_people_see_what_how_many_memory_profile_source_and_what_to_do(run: Run, folder: Path) -> None:
    a_tool(folder, "mx-smi", "mx_smi_c500")
    a_tool(folder, "efsmi", "efsmi_s60g")

    result = run("--no-measure")

    assert result.exit_code == 0
    for said in ("MetaX C500", "64.0 GiB", "metax-c500", "mx-smi", "not measured", "Enflame S60G", "unknown"):
        assert said in result.stdout
    assert "Enflame S60G is in no pool: write a profile" in result.stderr
    assert "headwater plan" in result.stderr


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
@pytest.mark.parametrize(
    "script", ["exit 1", r"printf 'a\377\000b'; exit 9", "echo No devices were found", "kill -9 $$"]
)
def test_a_broken_tool_is_a_note_and_never_an_error(run: Run, folder: Path, tool: Any, script: str) -> None:
    path = folder / "bin" / tool.name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)

    result = run("--output", "yaml", "--no-measure")

    assert result.exit_code == 0
    assert f"note: {tool.name} " in result.stderr
    assert len(sites(result.stdout)) == 1


def a_node(name: str, labels: dict[str, str], **allocatable: str) -> dict[str, Any]:
    resources = {key.replace("__", "/").replace("_", "."): value for key, value in allocatable.items()}
    return {
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {"allocatable": resources, "conditions": [{"type": "Ready", "status": "True"}]},
    }


NODES = {
    "kind": "List",
    "items": [
        a_node("a", {"node.kubernetes.io/npu.chip.name": "910B3"}, huawei_com__Ascend910="8"),
        a_node("b", {"node.kubernetes.io/npu.chip.name": "910B3"}, huawei_com__Ascend910="8"),
        a_node("c", {"nvidia.com/gpu.product": "NVIDIA-H20", "nvidia.com/gpu.memory": "143771"}, nvidia_com__gpu="8"),
        a_node("d", {}, example_com__chip="2"),
    ],
}


@pytest.mark.parametrize("dump", [json.dumps, yaml.safe_dump], ids=["json", "yaml"])
def test_a_file_of_nodes_becomes_a_site_of_the_shipped_profiles(
    run: Run, folder: Path, dump: Callable[[Any], str]
) -> None:
    path = folder / "nodes"
    path.write_text(dump(NODES))

    result = run("--cluster", "--nodes", str(path), "--output", "yaml", "--site", "wuxi")

    site = sites(result.stdout)[0]
    assert result.exit_code == 0
    assert (site.metadata.name, site.spec.fleet) == ("wuxi", "kubernetes")
    assert [(pool.profile, pool.nodes, pool.chips, pool.memory) for pool in site.spec.pools] == [
        ("ascend-910b3", 2, 8, None),
        ("nvidia-h20", 1, 8, 143771 << 20),
    ]


def test_nodes_from_standard_input_in_a_table_with_what_is_left_out(run: Run) -> None:
    result = run("--nodes", "-", text=json.dumps(NODES))

    assert result.exit_code == 0
    assert "publishes nothing the catalog knows: example.com/chip: 2" in result.stdout
    assert "note: nvidia-h20: nodes say" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--nodes", "nowhere.json"), "cannot be read"),
        (("--nodes", "/"), "cannot be read"),
        (("--nodes", "-", "--context", "c"), "exclude each other"),
        (("--site", "Wuxi!"), "--site 'Wuxi!' is no name"),
        (("--region", ""), "--region '' is no name"),
        (("--nodes", "-"), "no JSON"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_sentence(run: Run, arguments: tuple[str, ...], said: str) -> None:
    result = run(*arguments, text="{")

    assert isinstance(result.exception, Invalid)
    assert said in str(result.exception)
    assert result.stdout == ""


def test_without_a_kubeconfig_the_cluster_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(folder / "none"))
    monkeypatch.setenv("HOME", str(folder))

    assert isinstance(run("--cluster").exception, Invalid)
