"""The model cards that ship: their dimensions give the published counts, and every fact says where it is from."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import yaml

from orchestrator.api.load import load_bytes
from orchestrator.api.model import Model, ModelSpec
from orchestrator.core.architecture import Parameters, parameters
from orchestrator.core.cache import index_bytes_per_token, kv_bytes_per_token, state_bytes_per_sequence
from orchestrator.core.memory import weight_bytes

CARDS = Path(__file__).parents[2] / "manifests" / "catalog" / "models"
PUBLIC = yaml.safe_load((Path(__file__).parent / "published.yaml").read_text())
COUNTED = PUBLIC["main"] | PUBLIC["newer"]
SPLIT = {"glm-5.3", "minimax-m2.7"}  # shapes of glm-5.2 and minimax-m2.5, under licences of their own
NAMED = {*COUNTED, *PUBLIC["without_dimensions"], *PUBLIC["no_decoders"]}
B = 10**9
CLOSE = 0.005  # share by which a published count may be off

ROUNDED = "rounded by the organisation"
DOWN = "rounded down by the organisation"
NAME = "the name is rounded"
LANGUAGE = "the name counts the language part alone"
TOTALS: dict[str, tuple[int, int, str]] = {
    "deepseek-v4-pro": (1_572_997_179_491, 1600 * B, ROUNDED),
    "ernie-4.5-21b-a3b": (21_825_436_160, 21 * B, DOWN),
    "glm-4.5": (352_797_814_784, 355 * B, "between the counts without and with the prediction layer"),
    "glm-4.5-air": (106_852_245_504, 106 * B, DOWN),
    "glm-4.6": (352_797_814_784, 355 * B, "between the counts without and with the prediction layer"),
    "kimi-k2-instruct": (1_026_408_209_408, 1000 * B, "called 1T"),
    "kimi-k2-thinking": (1_026_408_209_408, 1000 * B, "called 1T"),
    "kimi-k2.5": (1_026_879_353_328, 1000 * B, "called 1T"),
    "kimi-k3": (2_779_931_754_752, 2800 * B, "called 2.8T"),
    "ling-flash-2.0": (102_889_697_280, 100 * B, "called 100B; the files hold what is computed"),
    "minimax-m2": (228_689_748_992, 230 * B, ROUNDED),
    "minimax-m2.5": (228_689_748_992, 230 * B, ROUNDED),
    "minimax-m2.7": (228_689_748_992, 230 * B, ROUNDED),
    "qianfan-vl-3b": (3_401_695_264, 3 * B, NAME),
    "qianfan-vl-70b": (71_839_045_664, 70 * B, NAME),
    "qianfan-vl-8b": (8_808_007_712, 8 * B, NAME),
    "qwen1.5-0.5b": (619_570_176, B // 2, "the name counts less than the file, which stores a head"),
    "qwen2.5-0.5b": (494_032_768, 490_000_000, DOWN),
    "qwen3-0.6b": (596_049_920, 600_000_000, NAME),
    "qwen3-1.7b": (1_720_574_976, 1_700_000_000, NAME),
    "qwen3-4b": (4_022_468_096, 4 * B, NAME),
    "qwen3-vl-2b": (2_127_532_032, 2 * B, LANGUAGE),
    "qwen3-vl-30b-a3b": (31_070_754_032, 30 * B, LANGUAGE),
    "qwen3-vl-32b": (33_357_390_064, 32 * B, LANGUAGE),
    "qwen3-vl-4b": (4_437_815_808, 4 * B, LANGUAGE),
    "qwen3-vl-8b": (8_767_123_696, 8 * B, LANGUAGE),
    "qwen3.5-27b": (27_356_728_560, 27 * B, LANGUAGE),
    "r1-distill-llama-70b": (70_553_706_496, 70 * B, NAME),
    "r1-distill-qwen-1.5b": (1_777_088_000, 1_500_000_000, "the name is that of the base, whose head is tied"),
    "r1-distill-qwen-14b": (14_770_033_664, 14 * B, NAME),
    "r1-distill-qwen-32b": (32_763_876_352, 32 * B, NAME),
    "r1-distill-qwen-7b": (7_615_616_512, 7 * B, NAME),
    "telechat3-105b-a4.7b": (102_256_309_760, 105 * B, "with the prediction layer it is 105B"),
    "telechat3-36b": (36_239_579_136, 36 * B, ROUNDED),
}
"""Computed and published totals that differ by more than half a percent, and why."""

WITHOUT_TABLES = {"glm-4.5", "glm-4.5-air", "glm-4.6", "glm-4.7-flash", "glm-5", "glm-5.2", "glm-5.3"} | {
    "minimax-m2", "minimax-m2.5", "minimax-m2.7",
}  # fmt: skip
WITH_BOTH = {"ling-1t", "ling-flash-2.0", "ling-mini-2.0", "minimax-m3", "step-3.7-flash", "telechat3-105b-a4.7b"} | {
    "qwen3-235b-a22b", "qwen3-30b-a3b", "qwen3-coder-480b-a35b", "qwen3-vl-235b-a22b", "qwen3-vl-30b-a3b",
    "qwen3.5-122b-a10b", "qwen3.5-35b-a3b", "qwen3.5-397b-a17b",
}  # fmt: skip
"""Whose organisation counts active parameters without embedding and head, or with both. Others count the head alone."""

ACTIVE: dict[str, tuple[int, int, str]] = {
    "deepseek-r1": (36_625_603_584, 37 * B, ROUNDED),
    "deepseek-v3": (36_625_603_584, 37 * B, ROUNDED),
    "deepseek-v3.2-exp": (37_477_128_448, 37 * B, "the count of V3, before the index"),
    "deepseek-v4-flash": (13_270_091_351, 13 * B, ROUNDED),
    "ernie-4.5-21b-a3b": (3_087_383_040, 3 * B, ROUNDED),
    "glm-4.5-air": (12_182_609_920, 12 * B, ROUNDED),
    "glm-4.7-flash": (3_262_374_656, 3 * B, ROUNDED),
    "glm-5.2": (39_347_345_664, 39 * B, ROUNDED),
    "glm-5.3": (39_347_345_664, 39 * B, ROUNDED),
    "gpt-oss-120b": (5_132_849_472, 5_100_000_000, DOWN),
    "kimi-k2-instruct": (31_687_072_768, 32 * B, ROUNDED),
    "kimi-k2-thinking": (31_687_072_768, 32 * B, ROUNDED),
    "kimi-k2.5": (31_687_072_768, 32 * B, ROUNDED),
    "ling-1t": (51_054_407_680, 50 * B, "called about 50B"),
    "ling-flash-2.0": (6_152_269_824, 6_100_000_000, DOWN),
    "mimo-v2-flash": (14_820_972_992, 15 * B, ROUNDED),
    "minimax-m2": (9_801_344_000, 10 * B, ROUNDED),
    "minimax-m2.5": (9_801_344_000, 10 * B, ROUNDED),
    "minimax-m2.7": (9_801_344_000, 10 * B, ROUNDED),
    "qwen3-235b-a22b": (22_190_763_520, 22 * B, ROUNDED),
    "qwen3-30b-a3b": (3_353_032_704, 3_300_000_000, DOWN),
    "qwen3-coder-480b-a35b": (35_474_765_312, 35 * B, ROUNDED),
    "qwen3-vl-235b-a22b": (22_190_763_520, 22 * B, ROUNDED),
    "qwen3-vl-30b-a3b": (3_353_032_704, 3 * B, ROUNDED),
    "qwen3.5-122b-a10b": (9_771_288_576, 10 * B, ROUNDED),
    "qwen3.5-35b-a3b": (3_454_988_928, 3 * B, ROUNDED),
    "qwen3.5-397b-a17b": (17_349_040_896, 17 * B, ROUNDED),
    "step-3.7-flash": (10_875_690_240, 11 * B, ROUNDED),
    "telechat3-105b-a4.7b": (4_675_827_200, 4_700_000_000, ROUNDED),
}
"""Computed and published active parameters that differ by more than half a percent, and why."""


@cache
def cards() -> dict[str, ModelSpec]:
    found: dict[str, ModelSpec] = {}
    for path in sorted(CARDS.glob("*.yaml")):
        (loaded,) = load_bytes(path.read_bytes(), path.name)
        assert isinstance(loaded.document, Model)
        assert loaded.document.metadata.name == path.stem
        found[path.stem] = loaded.document.spec
    return found


def counted(name: str) -> Parameters:
    architecture = cards()[name].architecture
    assert architecture is not None
    return parameters(architecture)


def active(name: str) -> int:
    """Active parameters as the organisation counts them."""
    p = counted(name)
    if name in WITHOUT_TABLES:
        return p.body
    return p.active if name in WITH_BOTH else p.active - p.embedding


def named(table: str, *columns: str) -> list[object]:
    """Rows of a table of published numbers; the default of a column is 0."""
    rows = PUBLIC[table].items()
    return [pytest.param(name, *(row.get(column, 0) for column in columns), id=name) for name, row in rows]


def with_counts() -> list[str]:
    return [name for name, card in cards().items() if card.architecture and card.published]


def test_every_model_has_a_card_and_every_card_is_of_a_known_model() -> None:
    assert set(cards()) == NAMED | SPLIT


@pytest.mark.parametrize("name", with_counts())
def test_the_total_is_the_published_one_or_the_difference_is_named(name: str) -> None:
    total, card = counted(name).total, cards()[name]

    assert card.published is not None
    if name in TOTALS:
        assert (total, card.published.total) == TOTALS[name][:2]
        assert abs(total / card.published.total - 1) > CLOSE, "no difference any more: take it from the table"
    else:
        assert total == pytest.approx(card.published.total, rel=CLOSE)


@pytest.mark.parametrize("name", [n for n in with_counts() if (p := cards()[n].published) and p.active])
def test_active_parameters_are_the_published_ones_or_the_difference_is_named(name: str) -> None:
    card = cards()[name]

    assert card.published is not None
    assert card.published.active is not None
    if name in ACTIVE:
        assert (active(name), card.published.active) == ACTIVE[name][:2]
        assert abs(active(name) / card.published.active - 1) > CLOSE, "no difference any more: take it from the table"
    else:
        assert active(name) == pytest.approx(card.published.active, rel=CLOSE)


def test_named_differences_are_of_models_with_counts() -> None:
    assert {*TOTALS, *ACTIVE, *WITHOUT_TABLES, *WITH_BOTH} <= set(with_counts())
    assert not WITHOUT_TABLES & WITH_BOTH


@pytest.mark.parametrize(
    ("name", "reason"),
    [pytest.param(name, reason, id=name) for name, (*_, reason) in ACTIVE.items() if reason == ROUNDED],
)
def test_what_is_called_rounded_rounds_to_the_published_number(name: str, reason: str) -> None:
    computed, published, _ = ACTIVE[name]
    unit = B if published % B == 0 else B // 10

    assert reason == ROUNDED
    assert abs(computed - published) <= unit // 2


@pytest.mark.parametrize(("name", "total", "whole", "body"), named("main", "total", "active", "body"))
def test_parameters_are_exactly_those_of_the_dimensions(name: str, total: int, whole: int, body: int) -> None:
    p = counted(name)

    assert (p.total, p.active, p.body) == (total, whole, body)


@pytest.mark.parametrize(("name", "total", "about"), named("newer", "total", "about"))
def test_parameters_are_those_of_the_built_model(name: str, total: int, about: int) -> None:
    assert counted(name).total == total
    assert not about or total == pytest.approx(about, rel=0.0003)


@pytest.mark.parametrize(
    ("name", "stored"), [pytest.param(n, row["stored"], id=n) for n, row in COUNTED.items() if "stored" in row]
)
def test_the_published_files_hold_what_is_computed_and_router_biases(name: str, stored: int) -> None:
    architecture = cards()[name].architecture

    assert architecture is not None
    biases = sum(layers.count * layers.experts.routed for layers in architecture.layers if layers.experts)
    assert stored - counted(name).total in {0, biases}


@pytest.mark.parametrize(
    ("name", "kv", "index", "state"),
    [*named("main", "kv", "index", "state"), *named("newer", "kv", "index", "state")],
)
def test_a_token_and_a_sequence_keep_exactly_these_bytes(name: str, kv: int, index: int, state: int) -> None:
    architecture = cards()[name].architecture

    assert architecture is not None
    kept = (kv_bytes_per_token(architecture, 2), index_bytes_per_token(architecture))
    assert kept == (kv, index)
    assert state_bytes_per_sequence(architecture) == state


@pytest.mark.parametrize(("name", "bf16", "fp8", "w8a8", "w4a16"), named("weights", "bf16", "fp8", "w8a8", "w4a16"))
def test_weights_take_these_bytes(name: str, bf16: int, fp8: int, w8a8: int, w4a16: int) -> None:
    architecture = cards()[name].architecture

    assert architecture is not None
    assert weight_bytes(architecture, "bf16") == bf16
    assert weight_bytes(architecture, "w8a8") == w8a8
    assert weight_bytes(architecture, "fp8") == pytest.approx(fp8, abs=1)  # the table cuts off, we round
    assert weight_bytes(architecture, "w4a16") == pytest.approx(w4a16, abs=1)


@pytest.mark.parametrize(("name", "size"), [pytest.param(*row, id=row[0]) for row in PUBLIC["int4_experts"].items()])
def test_experts_in_int4_take_these_bytes(name: str, size: int) -> None:
    architecture = cards()[name].architecture

    assert architecture is not None
    assert weight_bytes(architecture, "int4-experts") == pytest.approx(size, abs=1)


@pytest.mark.parametrize(("name", "size"), [pytest.param(*row, id=row[0]) for row in PUBLIC["payload"].items()])
def test_native_weights_are_as_large_as_the_published_files(name: str, size: int) -> None:
    card = cards()[name]

    assert card.architecture is not None
    assert card.native is not None
    assert weight_bytes(card.architecture, card.native) == pytest.approx(size, rel=0.001)


@pytest.mark.parametrize("name", cards())
def test_every_licence_count_and_release_has_a_source_or_is_called_unverified(name: str) -> None:
    card = cards()[name]
    doubted = " ".join(card.unverified)

    assert card.sources
    assert card.licence.sources or "licence" in doubted
    assert card.licence.status != "unverified" or "licence" in doubted
    assert (card.published and card.published.sources) or "no official count" in doubted
    assert [release.name for release in card.releases if not release.sources and release.name not in doubted] == []
    parts = [*card.components, *(card.architecture.beside if card.architecture else ())]
    assert [part.name for part in parts if not part.sources] == []
    assert [footprint.setting for footprint in card.footprints if not footprint.sources] == []
    assert card.native or "native type" in doubted or card.components
    assert card.context or "longest context" in doubted or card.components


@pytest.mark.parametrize("name", cards())
def test_a_card_has_dimensions_or_parts_or_says_that_nobody_published_them(name: str) -> None:
    card = cards()[name]

    assert (card.architecture is None) == (name in PUBLIC["without_dimensions"] or name in PUBLIC["no_decoders"])
    assert bool(card.components) == (name in PUBLIC["no_decoders"])
    if name in PUBLIC["without_dimensions"]:
        assert any(doubt.startswith("dimensions") for doubt in card.unverified)
        assert card.confidence == "low"


def test_a_checkpoint_belongs_to_one_card() -> None:
    names = [hub for card in cards().values() for hub in (card.hub, *card.also)]

    assert sorted(names) == sorted(set(names))
    assert "" not in names


@pytest.mark.parametrize("name", cards())
def test_a_model_of_the_catalog_is_called_by_its_catalog_name(name: str) -> None:
    card = cards()[name]
    hubs = {other.hub for other in cards().values()}

    for relative in (*card.base, *card.teachers, *card.students):
        assert relative != name
        assert relative not in hubs
        assert "/" in relative or relative in cards()


def test_teachers_and_students_name_each_other() -> None:
    known = cards()
    taught = {(teacher, name) for name, card in known.items() for teacher in card.teachers if teacher in known}
    listed = {(name, student) for name, card in known.items() for student in card.students if student in known}

    assert taught == listed
    assert ("deepseek-r1", "r1-distill-llama-70b") in taught
    assert ("qwen3-32b", "qwen3-0.6b") in taught


@pytest.mark.parametrize("name", cards())
def test_a_release_is_another_checkpoint_than_the_cards_own(name: str) -> None:
    card = cards()[name]
    own = {(card.hub, card.native, card.native_format)}

    assert not own & {(release.name, release.quantization, release.format) for release in card.releases}
    assert len({(r.name, r.quantization, r.format) for r in card.releases}) == len(card.releases)
    assert card.hub not in {release.of for release in card.releases}
    chips = {chip for release in card.releases for chip in release.chips}
    assert chips <= {path.stem for path in (CARDS.parent / "hardware").glob("*.yaml")}


@pytest.mark.parametrize(
    ("name", "kinds", "excluded", "outputs_may_train"),
    [
        ("deepseek-r1", [], (), True),
        ("deepseek-v3", ["use", "notice"], (), True),
        ("qwen3-0.6b", [], (), None),
        ("kimi-k2-instruct", ["display"], (), None),
        ("kimi-k3", ["revenue", "display"], (), None),
        ("minimax-m2", ["display"], (), None),
        ("minimax-m2.7", ["use"], (), None),
        ("minimax-m3", ["display", "registration", "revenue"], (), None),
        ("qianfan-vl-3b", ["use", "display"], (), None),
        ("qianfan-vl-8b", ["display", "notice", "users", "use"], (), None),
        ("r1-distill-llama-8b", ["display", "notice", "users", "use"], (), True),
        ("qwen1.5-0.5b", ["use", "notice"], (), False),
        ("hunyuanvideo", ["users", "notice", "use"], ("eu", "gb", "kr"), False),
        ("hunyuanvideo-1.5", ["users", "notice", "use"], ("eu", "gb", "kr"), False),
        ("hunyuan3d-2.0", ["users", "notice", "use"], ("eu", "gb", "kr"), False),
        ("hunyuan3d-2.1", ["users", "notice", "use"], ("eu", "gb", "kr"), False),
        ("telechat3-36b", [], (), None),
    ],
)
def test_a_licence_asks_for(
    name: str,
    kinds: list[str],
    excluded: tuple[str, ...],
    outputs_may_train: bool | None,  # noqa: FBT001  three answers, as the card has them
) -> None:
    licence = cards()[name].licence

    assert [duty.kind for duty in licence.duties] == kinds
    assert licence.excluded == excluded
    assert licence.outputs_may_train is outputs_may_train
