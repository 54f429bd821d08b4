"""What every fleet promises. A new fleet adds itself to the list and must pass."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from worlds import a_spec

from orchestrator.adapters.memory import MemoryFleet
from orchestrator.errors import NotOurs
from orchestrator.ports import Fleet
from runtimes.contract import Phase

pytestmark = pytest.mark.parametrize("made", [pytest.param(MemoryFleet, id="memory")])


def test_starting_twice_is_starting_once(made: Callable[[], Fleet]) -> None:
    """Promise 7."""
    fleet = made()

    fleet.start(a_spec("a"))
    seen = fleet.observe()
    fleet.start(a_spec("a"))

    assert [replica.spec for replica in seen] == [a_spec("a")]
    assert fleet.observe() == seen


def test_stopping_twice_is_stopping_once(made: Callable[[], Fleet]) -> None:
    """Promise 7."""
    fleet = made()
    fleet.start(a_spec("a"))
    fleet.start(a_spec("b"))

    fleet.stop("a")
    fleet.stop("a")

    assert [replica.spec.name for replica in fleet.observe()] == ["b"]


def test_stopping_what_was_never_there_is_nothing(made: Callable[[], Fleet]) -> None:
    fleet = made()

    fleet.stop("a")

    assert fleet.observe() == ()


def test_a_name_that_someone_else_has_is_not_ours(made: Callable[[], Fleet]) -> None:
    """Promise 7: refused loudly, and theirs is as it was."""
    fleet = made()
    fleet.start(a_spec("a", owner="them"))
    seen = fleet.observe()

    with pytest.raises(NotOurs, match="replica a belongs to them, not to me"):
        fleet.start(a_spec("a", owner="me"))
    assert fleet.observe() == seen


def test_replicas_are_seen_in_order_of_name_each_at_its_own_address(made: Callable[[], Fleet]) -> None:
    fleet = made()
    for name in "cab":
        fleet.start(a_spec(name))
    fleet.stop("c")
    fleet.start(a_spec("d"))

    seen = fleet.observe()

    assert [replica.spec.name for replica in seen] == ["a", "b", "d"]
    assert len({replica.url for replica in seen}) == 3


def test_a_replica_that_can_start_again_after_its_stop_is_a_fresh_one(made: Callable[[], Fleet]) -> None:
    fleet = made()
    fleet.start(a_spec("a"))
    fleet.stop("a")

    fleet.start(a_spec("a", owner="them"))

    assert [(replica.spec.owner, replica.phase) for replica in fleet.observe()] == [("them", Phase.READY)]
