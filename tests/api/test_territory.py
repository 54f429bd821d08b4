"""Territories: what a region starts with, which share ground, and what may be written."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from orchestrator.api.territory import COUNTRIES, MEMBERS, Territory, overlap, territory_of


@pytest.mark.parametrize(
    ("region", "territory"),
    [
        ("cn", "cn"), ("cn-east", "cn"), ("de-frankfurt", "de"), ("eu-west", "eu"), ("gb-london", "gb"),
        ("uk-south", "gb"), ("kr-seoul", "kr"), ("KR-Seoul", "kr"), ("el-athens", "gr"),
        ("ap-northeast-2", None), ("europe-west1", None), ("cneast", None), ("-cn", None), ("", None),
    ],
)  # fmt: skip
def test_a_region_starts_with_its_territory(region: str, territory: str | None) -> None:
    assert territory_of(region) == territory


@pytest.mark.parametrize(
    ("territory", "excluded", "shared"),
    [
        pytest.param("cn", ("eu", "gb", "kr"), (), id="apart"),
        pytest.param("kr", ("eu", "gb", "kr"), ("kr",), id="the same country"),
        pytest.param("de", ("eu", "gb", "kr"), ("eu",), id="a member is in the union"),
        pytest.param("eu", ("de", "fr", "gb"), ("de", "fr"), id="the union holds its members"),
        pytest.param("gb", ("eu",), (), id="the United Kingdom left"),
        pytest.param("no", ("eu",), (), id="Norway is no member"),
        pytest.param("ch", ("eu",), (), id="nor is Switzerland"),
    ],
)
def test_territories_share_ground(territory: str, excluded: tuple[str, ...], shared: tuple[str, ...]) -> None:
    assert overlap(territory, excluded) == shared


def test_the_union_has_27_members_which_are_countries() -> None:
    assert len(MEMBERS) == 27
    assert len(COUNTRIES) == 249
    assert MEMBERS < COUNTRIES


@pytest.mark.parametrize(("written", "read"), [("eu", "eu"), ("cn", "cn"), ("uk", "gb")])
def test_a_territory_is_read(written: str, read: str) -> None:
    assert TypeAdapter(Territory).validate_python(written) == read


@pytest.mark.parametrize(
    ("written", "meant"),
    [("EU", "eu"), ("CN", "cn"), ("cn-east", "cn"), ("xx", "cn"), ("europe", "cn"), ("", "cn"), ("x" * 999, "cn")],
)
def test_what_is_no_territory_gets_one_sentence(written: str, meant: str) -> None:
    with pytest.raises(ValidationError, match=f"is no territory; write eu, or .* country, such as {meant}"):
        TypeAdapter(Territory).validate_python(written)
