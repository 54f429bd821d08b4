"""Ties between models from what either end's card says."""

from __future__ import annotations

from typing import Any

import pytest
from worlds import a_model

from orchestrator.core.lineage import Lineage, Tie


def a_lineage(**cards: dict[str, Any]) -> Lineage:
    return Lineage({name: a_model(name, hub=f"lab/{name}", **card) for name, card in cards.items()})


@pytest.mark.parametrize(
    ("cards", "ties"),
    [
        pytest.param({"a": {}, "b": {"base": ["a"]}}, [Tie("a", "b", "weights")], id="the child says so"),
        pytest.param({"a": {"students": ["b"]}, "b": {}}, [Tie("a", "b", "teacher")], id="the teacher says so"),
        pytest.param(
            {"a": {"students": ["lab/b"]}, "b": {"teachers": ["lab/a"]}}, [Tie("a", "b", "teacher")], id="both say so"
        ),
        pytest.param({"a": {"also": ["lab/c"]}, "b": {"base": ["lab/c"]}}, [Tie("a", "b", "weights")], id="a sibling"),
        pytest.param({"a": {"also": ["lab/c"], "base": ["lab/c"]}}, [], id="a sibling on the same card is no parent"),
        pytest.param({"a": {"base": ["far/x"]}}, [Tie("far/x", "a", "weights")], id="a model in no catalog"),
        pytest.param({"a": {}, "b": {}}, [], id="strangers"),
    ],
)
def test_a_tie_is_known_once_when(cards: dict[str, dict[str, Any]], ties: list[Tie]) -> None:
    assert list(a_lineage(**cards).ties) == ties


def test_trees_grow_down_to_students_and_up_to_what_a_model_came_from() -> None:
    lineage = a_lineage(big={"students": ["small"]}, small={"base": ["far/base"]}, tuned={"base": ["small"]})

    assert lineage.origins() == ("big", "far/base")
    assert lineage.descendants("big") == [
        {
            "name": "small",
            "relation": "teacher",
            "children": [{"name": "tuned", "relation": "weights", "children": []}],
        }
    ]
    assert [one["name"] for one in lineage.ancestors("tuned")[0]["parents"]] == ["big", "far/base"]
    assert lineage.students("lab/big") == {"small"}
    assert lineage.teachers("small") == {"big"}


def test_a_circle_of_cards_ends() -> None:
    lineage = a_lineage(a={"base": ["b"]}, b={"base": ["a"]})

    assert lineage.descendants("a") == [{"name": "b", "relation": "weights", "children": []}]
    assert lineage.ancestors("a") == [{"name": "b", "relation": "weights", "parents": []}]
