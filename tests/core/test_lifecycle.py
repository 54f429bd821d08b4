"""Which phases serve, and what silence means."""

from __future__ import annotations

import pytest
from worlds import a_replica

from orchestrator.core.lifecycle import SERVING, believe
from runtimes.contract import Phase, ReplicaReport

SILENT = a_replica(phase=Phase.SILENT, message="does not answer; believed to be serving")


@pytest.mark.parametrize(
    ("last", "now", "held"),
    [
        pytest.param(a_replica(), None, SILENT, id="a ready one that does not answer is silent, at its last address"),
        pytest.param(SILENT, None, SILENT, id="a silent one stays silent"),
        pytest.param(SILENT, a_replica(), a_replica(), id="a silent one that speaks again is what it says"),
        pytest.param(
            a_replica(phase=Phase.STARTING), None, a_replica(phase=Phase.STARTING), id="a starting one is starting"
        ),
        pytest.param(None, None, None, id="nothing known stays nothing"),
        pytest.param(None, a_replica(), a_replica(), id="a first word is believed"),
    ],
)
def test_what_is_held_of_a_replica(
    last: ReplicaReport | None, now: ReplicaReport | None, held: ReplicaReport | None
) -> None:
    """Promise 5: a late word alone changes neither the address nor the belief that it serves."""
    assert believe(last, now) == held


def test_a_silent_replica_counts_as_serving() -> None:
    assert {Phase.READY, Phase.SILENT} == SERVING
