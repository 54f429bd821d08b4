"""Which of many reasons a person is told first."""

from __future__ import annotations

import pytest

from orchestrator.core.fit import Rejected, Why
from orchestrator.core.nearest import NEAREST_FIRST, nearest


def a_no(why: Why, subject: str = "lab") -> Rejected:
    return Rejected(subject, why, "more", "less")


@pytest.mark.parametrize(
    ("given", "first"),
    [
        pytest.param([Why.TPOT, Why.PLACE], Why.TPOT, id="too slow here tells more than a site of another role"),
        pytest.param([Why.CHECKPOINT, Why.MEMORY, Why.TTFT], Why.TTFT, id="what fits and is slow came nearest"),
        pytest.param([Why.TTFT, Why.CAPACITY], Why.CAPACITY, id="what is right and taken came nearer still"),
        pytest.param([Why.PLACE, Why.QUANTIZATION], Why.QUANTIZATION, id="the right place with other weights"),
        pytest.param([Why.PLACE, Why.LICENCE], Why.LICENCE, id="a licence is a no to every place"),
    ],
)
def test_the_reason_told_first_is(given: list[Why], first: Why) -> None:
    assert nearest(map(a_no, given))[0].why is first


def test_reasons_of_one_rule_stay_in_their_order_and_none_is_lost() -> None:
    given = (a_no(Why.PLACE), a_no(Why.TTFT, "b"), a_no(Why.PLACE, "x"), a_no(Why.TTFT, "a"))

    assert nearest(given) == (given[1], given[3], given[0], given[2])
    assert nearest(()) == ()


def test_every_rule_has_its_rank() -> None:
    assert sorted(NEAREST_FIRST) == sorted(Why)
