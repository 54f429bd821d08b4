"""From the replicas that are to the replicas that are wanted, one safe step at a time. Pure.

A new variant starts beside the old one, and an old replica is let go only when enough ready ones remain. When there is
no room beside the old one and it is the last that serves, the answer is Blocked with both numbers, never an outage.
Nothing is remembered between steps: where the change stands is read off the replicas.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core.actions import Act, Blocked, Done, Outcome, Start, Stop, Wait
from orchestrator.core.fit import Rejected, Why, size, time
from orchestrator.core.lifecycle import SERVING
from orchestrator.core.world import Failures, PoolId, World
from runtimes.contract import Phase, ReplicaReport, ReplicaSpec

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 60.0
STUCK_AFTER = 5  # failures in a row, half a minute of retries: from here on a person is told; retries go on
_ENDING = frozenset({Phase.DRAINING, Phase.FAILED, Phase.GONE})


def step(
    wanted: tuple[ReplicaSpec, ...],
    here: tuple[ReplicaReport, ...],
    *,
    free_bytes: Mapping[PoolId, int],
    world: World,
    now_s: float,
) -> Outcome:
    """The next step of one tier.

    Args:
        wanted: replicas of the wanted variant, in order of name. Names follow from the variant, so a replica of this
            name runs what is wanted.
        here: every replica of the tier that is ours, of any variant.
        free_bytes: memory left in each pool beside all that runs there.
        world: for failure counts.
        now_s: the time.
    """
    names, there = {spec.name for spec in wanted}, {replica.spec.name for replica in here}
    keep = [r for r in here if r.spec.name in names and r.phase not in _ENDING]
    rest = sorted((r for r in here if r not in keep), key=lambda r: (r.phase is Phase.READY, r.spec.name))
    leaving = [r for r in rest if r.phase in SERVING]  # a silent one goes first: another is known to serve
    useless = [r for r in rest if r.phase not in SERVING]
    missing = [spec for spec in wanted if spec.name not in there]
    due = [spec for spec in missing if now_s >= _retry_at_s(world.failures.get(spec.name))]

    fitting, left = _fitting(due, free_bytes)
    moves: list[Start | Stop] = [*(_stop(r) for r in useless), *(Start(spec) for spec in fitting)]
    if moves:
        done = [f"clear {_count(useless)} that serve nothing"] if useless else []
        done += [f"start {len(fitting)} of {len(wanted)}"] if fitting else []
        return Act(tuple(moves), " and ".join(done))

    serving = len(leaving) + sum(r.phase in SERVING for r in keep)
    starting = any(r.phase is Phase.STARTING for r in keep)
    no_room = bool(due) and not starting
    spare = max(serving - len(wanted), int(no_room and serving > 1))  # without room one may go while another serves
    if spare > 0 and leaving:
        may_go = leaving[:spare]
        return Act(tuple(_stop(r) for r in may_go), f"let go of {_count(may_go)}")
    if no_room:
        return Blocked((_no_room(due[0], left[_pool(due[0])]),))
    stuck = [spec for spec in missing if spec.name in world.failures and world.failures[spec.name].count >= STUCK_AFTER]
    if stuck:
        return Blocked(tuple(_failing(spec.name, world.failures[spec.name], now_s) for spec in stuck))
    waiting = [
        ": ".join(filter(None, (f"{r.spec.name} is {r.phase.value}", r.message)))
        for r in keep
        if r.phase is not Phase.READY
    ]
    waiting += [_again(spec.name, world.failures.get(spec.name), now_s) for spec in missing]
    if waiting:
        return Wait("; ".join(waiting))
    return Done(f"{len(wanted)} of {len(wanted)} ready")


def _fitting(
    due: list[ReplicaSpec], free_bytes: Mapping[PoolId, int]
) -> tuple[list[ReplicaSpec], Mapping[PoolId, int]]:
    """What can start beside all that runs, and the memory left after."""
    fitting: list[ReplicaSpec] = []
    left = dict(free_bytes)
    for spec in due:
        if spec.memory_bytes <= left[_pool(spec)]:
            left[_pool(spec)] -= spec.memory_bytes
            fitting.append(spec)
    return fitting, left


def _pool(spec: ReplicaSpec) -> PoolId:
    return PoolId(spec.site, spec.pool)


def _stop(replica: ReplicaReport) -> Stop:
    why = f"failed: {replica.message}" if replica.phase is Phase.FAILED else "no longer wanted"
    return Stop(replica.spec.name, replica.spec.site, why)


def _count(replicas: list[ReplicaReport]) -> str:
    return "1 replica" if len(replicas) == 1 else f"{len(replicas)} replicas"


def _no_room(spec: ReplicaSpec, free_bytes: int) -> Rejected:
    hint = "give the pool more memory, or delete the service and deploy it anew"
    return Rejected(f"{spec.site}/{spec.pool} {spec.name}", Why.MEMORY, size(spec.memory_bytes), size(free_bytes), hint)


def _failing(name: str, failures: Failures, now_s: float) -> Rejected:
    have = f"{failures.count} failures in a row, the last: {failures.message or 'no reason given'}"
    return Rejected(name, Why.FAILING, "a replica that becomes ready", have, f"next try in {_rest(failures, now_s)}")


def _again(name: str, failures: Failures | None, now_s: float) -> str:
    if failures is None:
        return f"{name} starts when there is room"
    reason = f": {failures.message}" if failures.message else ""
    return f"{name} failed {failures.count} in a row{reason}; next try in {_rest(failures, now_s)}"


def _rest(failures: Failures, now_s: float) -> str:
    return time(max(0.0, _retry_at_s(failures) - now_s))


def _retry_at_s(failures: Failures | None) -> float:
    if failures is None:
        return 0.0
    doublings = min(failures.count - 1, 32)  # far beyond the longest wait, and no overflow
    return failures.last_s + min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0**doublings)
