"""Choosing a replica: least outstanding first, equal ones in turn, failing ones left out for a while."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimes.gateway.routing import (
    EJECT_AFTER,
    FIRST_EJECTION_S,
    HEALTHY,
    LONGEST_EJECTION_S,
    Health,
    Target,
    after_failure,
    pick,
)


def a_target(name: str, outstanding: int = 0, ejected_until_s: float = 0.0) -> Target:
    return Target(name, f"http://{name}:1", outstanding, Health(0, ejected_until_s))


@pytest.mark.parametrize(
    ("targets", "after", "chosen"),
    [
        pytest.param([a_target("a", 2), a_target("b", 1)], "", "b", id="fewest outstanding wins"),
        pytest.param([a_target("b"), a_target("a")], "", "a", id="ties go by name"),
        pytest.param([a_target("b"), a_target("a")], "a", "b", id="ties go to the next name after the last choice"),
        pytest.param([a_target("b"), a_target("a")], "b", "a", id="after the last name comes the first"),
        pytest.param([a_target("a", 0, ejected_until_s=11), a_target("b", 5)], "", "b", id="ejected ones are left out"),
        pytest.param([a_target("a", 0, ejected_until_s=10)], "", "a", id="an ejection ends at its time"),
        pytest.param([a_target("a", 0, ejected_until_s=11)], "", None, id="all ejected means none"),
        pytest.param([], "", None, id="no targets means none"),
    ],
)
def test_the_next_request_goes_to(targets: list[Target], after: str, chosen: str | None) -> None:
    found = pick(targets, tried=(), after=after, now_s=10)

    assert (found and found.name) == chosen


targets_of_a_service = st.dictionaries(
    st.sampled_from("abcdefgh"),
    st.tuples(st.integers(0, 5), st.sampled_from([0.0, 5.0, 20.0]), st.booleans()),
)


@given(drawn=targets_of_a_service, after=st.sampled_from(["", *"abcdefgh"]), order=st.randoms())
def test_a_choice_is_allowed_least_loaded_and_the_same_in_any_order(drawn, after, order) -> None:
    targets = [a_target(name, outstanding, until_s) for name, (outstanding, until_s, _) in drawn.items()]
    tried = [t for t in targets if drawn[t.name][2]]
    shuffled = order.sample(targets, len(targets))
    allowed = [t for t in targets if t not in tried and t.health.ejected_until_s <= 10]

    found = pick(targets, tried=tried, after=after, now_s=10)

    assert found is pick(shuffled, tried=tried, after=after, now_s=10)
    assert (found is None) == (not allowed)
    if found is not None:
        assert found in allowed
        assert found.outstanding == min(t.outstanding for t in allowed)


@given(names=st.sets(st.text(min_size=1), min_size=1, max_size=8))
def test_equal_replicas_take_turns(names: set[str]) -> None:
    targets = [a_target(name) for name in names]
    chosen = [""]

    for _ in range(2 * len(targets)):
        chosen.append(pick(targets, tried=(), after=chosen[-1], now_s=0).name)

    assert chosen[1:] == sorted(names) * 2


def test_consecutive_failures_eject_for_a_growing_bounded_time() -> None:
    health, now_s, lengths_s = HEALTHY, 100.0, []
    for _ in range(8):
        health = after_failure(health, now_s)
        lengths_s.append(round(health.ejected_until_s - now_s, 3) if health.failures >= EJECT_AFTER else 0)
        now_s = max(now_s, health.ejected_until_s)

    assert lengths_s == [0, FIRST_EJECTION_S, 0.2, 0.4, 0.8, LONGEST_EJECTION_S, LONGEST_EJECTION_S, LONGEST_EJECTION_S]


def test_failures_during_an_ejection_do_not_lengthen_it() -> None:
    ejected = Health(2, ejected_until_s=50)

    assert after_failure(ejected, 49.9) == ejected
