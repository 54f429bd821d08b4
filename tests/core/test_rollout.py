"""One situation, one next step."""

from __future__ import annotations

import pytest
from worlds import MIB, a_replica, a_spec, a_world

from orchestrator.core.actions import Act, Blocked, Done, Outcome, Start, Stop, Wait
from orchestrator.core.fit import Rejected, Why
from orchestrator.core.rollout import step
from orchestrator.core.world import Failures, PoolId
from runtimes.contract import Phase, ReplicaReport

NOW_S = 1000.0
LAB = PoolId("lab", 0)
GONE = "no longer wanted"
NEW = tuple(a_spec(f"new-{n}") for n in range(3))
NO_ROOM = Blocked(
    (
        Rejected(
            "lab/0 new-0",
            Why.MEMORY,
            "100.0 MiB",
            "0.0 MiB",
            "give the pool more memory, or delete the service and deploy it anew",
        ),
    )
)


def old(number: int = 0, phase: Phase = Phase.READY, **fields: object) -> ReplicaReport:
    return a_replica(f"old-{number}", phase, **fields)


def new(number: int = 0, phase: Phase = Phase.READY) -> ReplicaReport:
    return a_replica(f"new-{number}", phase)


@pytest.mark.parametrize(
    ("wanted", "here", "room", "answer"),
    [
        pytest.param(0, [], 0, Done("0 of 0 ready"), id="nothing wanted and nothing there is done"),
        pytest.param(1, [], 1, Act((Start(NEW[0]),), "start 1 of 1"), id="a missing replica is started"),
        pytest.param(2, [], 1, Act((Start(NEW[0]),), "start 1 of 2"), id="as many as find room are started"),
        pytest.param(
            1, [], 0, NO_ROOM, id="without room and without anything to let go it is blocked, with both numbers"
        ),
        pytest.param(
            1,
            [new(0, Phase.STARTING)],
            0,
            Wait("new-0 is starting"),
            id="what starts is waited for, and nothing is done",
        ),
        pytest.param(1, [new()], 0, Done("1 of 1 ready"), id="all ready is done"),
        pytest.param(1, [new(0, Phase.SILENT)], 9, Wait("new-0 is silent"), id="a silent replica is not replaced"),
        pytest.param(1, [old()], 1, Act((Start(NEW[0]),), "start 1 of 1"), id="the new starts beside the old"),
        pytest.param(
            1, [old(), new(0, Phase.STARTING)], 0, Wait("new-0 is starting"), id="the old stays until the new is ready"
        ),
        pytest.param(
            1, [old(), new()], 0, Act((Stop("old-0", "lab", GONE),), "let go of 1 replica"), id="then the old is let go"
        ),
        pytest.param(1, [old()], 0, NO_ROOM, id="the last one that serves is never stopped to make room"),
        pytest.param(
            2,
            [old(0), old(1)],
            0,
            Act((Stop("old-0", "lab", GONE),), "let go of 1 replica"),
            id="without room one may go while another serves",
        ),
        pytest.param(
            3,
            [old(0), old(1), new(0, Phase.STARTING)],
            0,
            Wait("new-0 is starting; new-1 starts when there is room; new-2 starts when there is room"),
            id="but only one at a time: the next goes when its replacement is ready",
        ),
        pytest.param(
            2,
            [old(0), old(1, Phase.SILENT)],
            0,
            Act((Stop("old-1", "lab", GONE),), "let go of 1 replica"),
            id="and of a ready and a silent one the silent one goes",
        ),
        pytest.param(
            1,
            [old(0), old(1), old(2), new()],
            0,
            Act(tuple(Stop(f"old-{n}", "lab", GONE) for n in range(3)), "let go of 3 replicas"),
            id="surplus goes at once",
        ),
        pytest.param(
            0, [old()], 9, Act((Stop("old-0", "lab", GONE),), "let go of 1 replica"), id="none wanted, the last may go"
        ),
        pytest.param(
            1,
            [new(0, Phase.FAILED).model_copy(update={"message": "no graph"})],
            9,
            Act((Stop("new-0", "lab", "failed: no graph"),), "clear 1 replica that serve nothing"),
            id="a failed one is cleared before it is tried again",
        ),
        pytest.param(
            2,
            [old(0, Phase.DRAINING)],
            1,
            Act((Stop("old-0", "lab", GONE), Start(NEW[0])), "clear 1 replica that serve nothing and start 1 of 2"),
            id="one that drains for long keeps no other from starting",
        ),
        pytest.param(
            2,
            [old(0), old(1), old(2, Phase.DRAINING)],
            0,
            Act((Stop("old-2", "lab", GONE),), "clear 1 replica that serve nothing"),
            id="while one drains no other is let go for room",
        ),
        pytest.param(
            1,
            [new(0, Phase.STARTING).model_copy(update={"spec": a_spec("new-0", memory_bytes=99 * MIB)})],
            9,
            Wait("new-0 is starting"),
            id="a replica of the wanted name is kept, whatever was estimated when it started",
        ),
    ],
)
def test_the_next_step(wanted: int, here: list[ReplicaReport], room: int, answer: Outcome) -> None:
    """Promise 6: done, waiting and blocked are three answers. Promise 5: silence alone moves nothing."""
    assert step(NEW[:wanted], tuple(here), free_bytes={LAB: room * 100 * MIB}, world=a_world(), now_s=NOW_S) == answer


@pytest.mark.parametrize(
    ("failures", "wait_s"),
    [
        pytest.param(1, 1, id="a second after the first"),
        pytest.param(2, 2, id="twice that after the second"),
        pytest.param(4, 8, id="and so on"),
        pytest.param(7, 60, id="a minute at most"),
        pytest.param(5000, 60, id="also after thousands"),
    ],
)
def test_a_failing_replica_is_tried_again(failures: int, wait_s: float) -> None:
    world = a_world(failures={"new-0": Failures(failures, NOW_S)})

    early = step(NEW[:1], (), free_bytes={LAB: 100 * MIB}, world=world, now_s=NOW_S + wait_s - 0.01)
    then = step(NEW[:1], (), free_bytes={LAB: 100 * MIB}, world=world, now_s=NOW_S + wait_s)

    assert isinstance(early, Wait | Blocked)
    assert then == Act((Start(NEW[0]),), "start 1 of 1")


def test_a_few_failures_are_waited_out_and_said() -> None:
    world = a_world(failures={"new-0": Failures(3, NOW_S, "no graph")})

    assert step(NEW[:1], (), free_bytes={LAB: 100 * MIB}, world=world, now_s=NOW_S + 1) == Wait(
        "new-0 failed 3 in a row: no graph; next try in 3.00 s"
    )


def test_many_failures_are_blocked_with_their_number_and_the_reason() -> None:
    """Promise 6: what will not get well by waiting is called stuck, though it is still tried."""
    world = a_world(failures={"new-0": Failures(5, NOW_S, "no graph")})

    assert step(NEW[:1], (), free_bytes={LAB: 100 * MIB}, world=world, now_s=NOW_S + 1) == Blocked(
        (
            Rejected(
                "new-0",
                Why.FAILING,
                "a replica that becomes ready",
                "5 failures in a row, the last: no graph",
                "next try in 15.00 s",
            ),
        )
    )
