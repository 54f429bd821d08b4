"""The catalog: everything shipped loads, says what the sources say, and user folders go over it."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.adapters.catalog import read_catalog
from orchestrator.api.load import load_bytes
from orchestrator.api.model import Architecture, Experts, LatentAttention, SparseIndexer
from orchestrator.api.references import check_references
from orchestrator.errors import InvalidSpec

MANIFESTS = Path(__file__).parents[2] / "manifests"
FILES = sorted([*(MANIFESTS / "catalog").rglob("*.yaml"), *(MANIFESTS / "examples").rglob("*.yaml")])
MODEL = """\
apiVersion: headwater.dev/v1alpha1
kind: Model
metadata: {name: NAME}
spec:
  family: mine
  organisation: Mine
  licence: {spdx: MIT, status: verified}
  architecture: {layers: 2, hiddenSize: 8, intermediateSize: 16, heads: 2, kvHeads: 1, headDim: 4, vocabulary: 64}
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

    for folder, known in {"models": catalog.models, "hardware": catalog.profiles, "engines": catalog.engines}.items():
        assert sorted(known) == sorted(path.stem for path in (MANIFESTS / "catalog" / folder).glob("*.yaml"))


@pytest.mark.parametrize(
    ("name", "context", "published", "architecture"),
    [
        (
            "smollm2-135m-instruct",
            8192,
            (135_000_000, None),
            Architecture(
                layers=30, hidden_size=576, intermediate_size=1536, heads=9, kv_heads=3, head_dim=64,
                vocabulary=49152, tied_embeddings=True,
            ),
        ),
        (
            "qwen3-0.6b",
            40960,
            (600_000_000, None),
            Architecture(
                layers=28, hidden_size=1024, intermediate_size=3072, heads=16, kv_heads=8, head_dim=128,
                vocabulary=151936, tied_embeddings=True, qk_norm="head",
            ),
        ),
        (
            "deepseek-v3.2-exp",
            163840,
            (671_000_000_000, 37_000_000_000),
            Architecture(
                layers=61, hidden_size=7168, intermediate_size=18432, heads=128, head_dim=192, vocabulary=129280,
                latent=LatentAttention(
                    q_lora_rank=1536, kv_lora_rank=512, rope_head_dim=64, nope_head_dim=128, value_head_dim=128
                ),
                indexer=SparseIndexer(heads=64, head_dim=128, top_tokens=2048),
                experts=Experts(routed=256, per_token=8, shared=1, intermediate_size=2048, first_dense_layers=3),
            ),
        ),
    ],
)  # fmt: skip
def test_dimensions_are_those_of_the_published_configuration(
    name: str, context: int, published: tuple[int, int | None], architecture: Architecture
) -> None:
    spec = read_catalog().models[name].spec

    assert spec.architecture == architecture
    assert spec.context == context
    assert (spec.published.total, spec.published.active) == published


def test_a_910b3_pod_asks_for_what_mindcluster_publishes() -> None:
    spec = read_catalog().profiles["ascend-910b3"].spec
    pod = spec.pod

    assert pod is not None
    assert (pod.resource, pod.counts) == ("huawei.com/Ascend910", (1, 2, 3, 4, 5, 6, 7, 8))
    assert (pod.scheduler, pod.runtime_class) == ("volcano", "ascend")
    assert pod.labels == {"ring-controller.atlas": "ascend-910b"}
    assert pod.annotations == {"huawei.com/schedule_policy": "chip8-node8"}
    assert "/usr/local/Ascend/driver/lib64" in pod.host_paths
    assert pod.multi_node_host_paths == ("/etc/hccn.conf",)
    assert "fp8" not in spec.peaks
    assert (spec.memory.value, spec.bandwidth.value, spec.peaks["int8"].value) == (64 * 2**30, 1.6e12, 626e12)


def test_a_document_of_a_user_goes_over_the_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "mine.yml").write_text(MODEL.replace("NAME", "mine"))
    (tmp_path / "over.yaml").write_text(MODEL.replace("NAME", "qwen3-0.6b"))
    (tmp_path / "notes.txt").write_text("not a document")

    models = read_catalog([tmp_path]).models

    assert models["mine"].spec.architecture.layers == 2
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
