"""Names in documents must refer to something: in the catalog, in the same files, or the machine itself."""

from __future__ import annotations

import pytest
from worlds import a_model, a_profile, an_engine, reads

from orchestrator.api.kinds import Catalog
from orchestrator.api.load import load
from orchestrator.api.references import check_references
from orchestrator.errors import Problem

HEAD = "apiVersion: headwater.dev/v1alpha1\n"
HERE = (
    HEAD + "kind: Site\nmetadata: {name: here}\nspec: {role: edge, region: cn, fleet: ray, pools: [{profile: local}]}\n"
)
DEMAND = "  demand: {rate: 1/s, input: 1, output: 1}\n"
MODELS = "deepseek-v3.2-exp, qwen3-0.6b, smollm2-135m-instruct"
SOURCE = "; for weights in no catalog write {source: ..., licence: ...}"
PROFILES = "ascend-910b3, cpu-kunpeng-920, local"
SMALL = Catalog().with_documents(
    [
        *(a_model(name) for name in MODELS.split(", ")),
        *(a_profile(name) for name in PROFILES.split(", ")[:2]),
        an_engine("edge"),
        an_engine("vllm", reads=reads("bf16", "fp16", "fp8")),
        an_engine("vllm-ascend-a2", reads=reads("bf16", "w8a8")),
    ]
)


def a_service(tiers: str) -> str:
    return HEAD + "kind: ModelService\nmetadata: {name: chat}\nspec:\n" + tiers + DEMAND


def a_site(profile: str) -> str:
    return HERE.replace("local", profile)


def found(*texts: str, catalog: Catalog | None = None) -> list[tuple[str, int, str, str]]:
    loaded = [item for index, text in enumerate(texts) for item in load(text, f"{index}.yaml")]
    problems: tuple[Problem, ...] = check_references(loaded, SMALL if catalog is None else catalog)
    return [(problem.file, problem.line, problem.path, problem.message) for problem in problems]


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param([a_service("  student: {model: qwen3-0.6b, quantization: [int4, int8]}\n")], id="a catalog name"),
        pytest.param([a_service("  student: {model: {source: ./w, licence: MIT}}\n")], id="weights in no catalog"),
        pytest.param([HERE], id="this machine"),
        pytest.param([a_service("  student: {model: qwen3-0.6b, where: {site: far}}\n")], id="a site, no sites given"),
        pytest.param(
            [a_service("  student: {model: qwen3-0.6b, where: {site: here}}\n"), HERE], id="a site of another file"
        ),
    ],
)
def test_names_that_mean_something_pass(texts: list[str]) -> None:
    assert found(*texts) == []


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        pytest.param(
            [a_service("  student:\n    model: qwen3-06b\n")],
            [
                (
                    "0.yaml",
                    6,
                    "spec.student.model",
                    f"unknown model 'qwen3-06b'; did you mean qwen3-0.6b? known: {MODELS}{SOURCE}",
                )
            ],
            id="a misspelt model",
        ),
        pytest.param(
            [a_service("  teacher: {model: gpt}\n")],
            [("0.yaml", 5, "spec.teacher.model", f"unknown model 'gpt'; known: {MODELS}{SOURCE}")],
            id="a model nobody knows",
        ),
        pytest.param(
            [a_service("  student:\n    model: qwen3-0.6b\n    quantization: [int4, int3]\n")],
            [
                (
                    "0.yaml",
                    7,
                    "spec.student.quantization[1]",
                    "unknown quantization 'int3'; did you mean int8 or int4? known: bf16, fp16, fp8, int4, int8, w8a8",
                )
            ],
            id="a quantization no engine runs",
        ),
        pytest.param(
            [a_service("  student: {model: qwen3-0.6b, where: {site: her}}\n"), HERE],
            [("0.yaml", 5, "spec.student.where.site", "unknown site 'her'; did you mean here? known: here")],
            id="a site that is not given",
        ),
        pytest.param(
            [a_site("ascend-910b")],
            [
                (
                    "0.yaml",
                    4,
                    "spec.pools[0].profile",
                    f"unknown hardware profile 'ascend-910b'; did you mean ascend-910b3? known: {PROFILES}",
                )
            ],
            id="a profile nobody knows",
        ),
        pytest.param(
            [HERE, HERE],
            [
                (
                    "1.yaml",
                    3,
                    "metadata.name",
                    "Site 'here' is already defined in 0.yaml:3; keep one, or give one another name",
                )
            ],
            id="one name in two files",
        ),
    ],
)
def test_a_name_that_means_nothing_is_told_with_the_nearest(
    texts: list[str], expected: list[tuple[str, int, str, str]]
) -> None:
    assert found(*texts) == expected


def test_sites_that_are_known_elsewhere_count_beside_those_given() -> None:
    """A controller keeps sites of earlier requests."""
    near, far = (
        load(a_service(f"  student: {{model: qwen3-0.6b, where: {{site: {site}}}}}\n"), "0.yaml")
        for site in ("near", "far")
    )
    here = load(HERE, "1.yaml")

    assert check_references([*near, *here], SMALL, ["near"]) == ()
    (problem,) = check_references([*far, *here], SMALL, ["near"])
    assert problem.message == "unknown site 'far'; known: here, near"


def test_an_empty_catalog_says_that_nothing_is_known() -> None:
    expected = [("0.yaml", 5, "spec.teacher.model", f"unknown model 'x'; known: none{SOURCE}")]

    assert found(a_service("  teacher: {model: x, quantization: [fp8]}\n"), catalog=Catalog()) == expected


def test_the_name_local_is_kept_for_this_machine() -> None:
    text = (
        HEAD + "kind: HardwareProfile\nmetadata: {name: local}\nspec:\n  vendor: x\n  family: x\n  kind: cpu\n"
        "  memory: {value: 1GiB, status: vendor}\n  bandwidth: {value: 1GB/s, status: vendor}\n  engines: [edg]\n"
    )

    assert found(text) == [
        ("0.yaml", 3, "metadata.name", "'local' always means this machine, detected; choose another name"),
        ("0.yaml", 10, "spec.engines[0]", "unknown engine 'edg'; did you mean edge? known: edge, vllm, vllm-ascend-a2"),
    ]
