"""`student.quality` as a user writes it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tests.worlds import a_service, a_tier


def test_a_floor_is_written_as_percent_or_as_a_share_and_each_half_may_be_absent() -> None:
    both = a_service(student=a_tier(quality={"perplexity": "6%", "agreement": 0.8})).spec.student
    one = a_service(student=a_tier(quality={"agreement": "80%"})).spec.student

    assert both is not None
    assert both.quality is not None
    assert (both.quality.perplexity, both.quality.agreement) == (pytest.approx(0.06), 0.8)
    assert one is not None
    assert one.quality is not None
    assert (one.quality.perplexity, one.quality.agreement) == (None, pytest.approx(0.8))


@pytest.mark.parametrize(
    ("floor", "said"),
    [
        pytest.param({}, "give perplexity, agreement, or both", id="nothing"),
        pytest.param(
            {"perplexity": None, "agreement": None}, "give perplexity, agreement, or both", id="twice nothing"
        ),
        pytest.param({"perplexity": 6}, "6 is not a share; write 0 to 1, or 0% to 100%", id="percent without its sign"),
        pytest.param({"agreement": "120%"}, "is not a share", id="more than all"),
        pytest.param({"agreement": -0.1}, "is not a share", id="less than nothing"),
        pytest.param({"agreement": float("nan")}, "is not a share", id="not a number"),
        pytest.param({"agreement": True}, "expected a share", id="a truth value"),
        pytest.param({"perplexity": "6%", "accuracy": 0.5}, "Extra inputs", id="another measure"),
    ],
)
def test_a_floor_that_means_nothing_is_refused(floor: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        a_service(student=a_tier(quality=floor))


def test_a_teacher_has_no_floor() -> None:
    with pytest.raises(ValidationError, match=r"teacher\.quality"):
        a_service(student=a_tier(), teacher=a_tier(quality={"agreement": 0.5}), escalation={"target": 1, "budget": 1})
