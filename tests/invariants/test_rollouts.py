"""Every small rollout, walked through real passes to its end.

Old variant: 0 to 2 replicas; new: 0 to 2; room for 0 to 2 beside the old; each new replica ready at once, late, failing
or silent right after it was ready. Checked after every pass, and at the end.
"""

from __future__ import annotations

from itertools import product

import pytest
from worlds import MIB, a_catalog, a_pool, a_profile, a_service, a_site, a_tier, a_world, an_artifact, an_outside, built

from orchestrator.adapters.memory import MemoryArtifacts, MemoryFleet
from orchestrator.api.kinds import Catalog
from orchestrator.api.service import ModelService
from orchestrator.control.backoff import count
from orchestrator.control.cycle import Report, cycle
from orchestrator.core.actions import Blocked, Done, Start, Stop, Wait
from orchestrator.core.decide import decide
from orchestrator.core.lifecycle import SERVING
from orchestrator.core.rollout import LONGEST_RETRY_S, STUCK_AFTER
from orchestrator.core.world import Failures
from orchestrator.ports import Outside
from runtimes.contract import Phase, ReplicaSpec

OLD, NEW = an_artifact(file="1" * 64), an_artifact(file="2" * 64)
UNIT = 107_515_040  # bytes of one replica
LATE_PASSES = 3
MOST_PASSES = 40
TEMPERS = ("at once", "late", "failing", "silent")


class MoodyFleet(MemoryFleet):
    """A fleet whose new replicas have tempers; each look is one tick."""

    def __init__(self, temper: str) -> None:
        super().__init__(ready_at_once=False)
        self.temper = temper
        self._age: dict[str, int] = {}

    def start(self, spec: ReplicaSpec) -> None:
        super().start(spec)
        if spec.artifact == OLD.path:
            self.set_phase(spec.name, Phase.READY)
        else:
            self._age[spec.name] = 0

    def tick(self) -> None:
        """A pass goes by for the replicas that are new."""
        for replica in self.observe():
            name = replica.spec.name
            if name not in self._age:
                continue
            self._age[name] += 1
            if self.temper == "failing":
                self.set_phase(name, Phase.FAILED, message="no graph")
            elif self.temper == "silent" and self._age[name] > 1:
                self.set_phase(name, Phase.SILENT)
            elif self.temper != "late" or self._age[name] > LATE_PASSES:
                self.set_phase(name, Phase.READY)


def serving(fleet: MemoryFleet) -> set[str]:
    return {replica.spec.name for replica in fleet.observe() if replica.phase in SERVING}


def a_service_of(replicas: int) -> ModelService:
    if replicas == 0:  # nobody asks and none is the least: a tier of no replica
        idle = a_tier("other", quantization=("bf16",), replicas={"min": 1, "max": 1})
        none = a_tier(replicas={"min": 0, "max": 2})
        return a_service(student=idle, teacher=none, escalation={"target": 0.9, "budget": 0})
    bounds = {"min": replicas, "max": replicas}
    return a_service(teacher=a_tier(replicas=bounds))


def a_machine(replicas: int) -> Catalog:
    return a_catalog(a_profile(memory=f"{replicas * UNIT + MIB}B"))


def the_old(old: int, new: int, temper: str, capacity: int) -> tuple[Outside, MoodyFleet]:
    """The old variant serves, the new one is built and wanted."""
    fleet = MoodyFleet(temper)
    site = a_site("lab", a_pool())
    for move in decide([a_service_of(old)], a_machine(capacity), a_world(site, artifacts=built(OLD)), 0.0).actions:
        if isinstance(move, Start):
            fleet.start(move.spec)
    assert len(serving(fleet)) == old
    outside = an_outside(
        a_service_of(new), site, fleet=fleet, catalog=a_machine(capacity), artifacts=MemoryArtifacts(built(NEW))
    )
    return outside, fleet


def walk(outside: Outside, fleet: MoodyFleet, least: int) -> Report:
    """Passes until the answer will not change any more; after each at least `least` replicas serve."""
    failures: dict[str, Failures] = {}
    was: dict[str, Phase] = {}
    now_s = 0.0
    for _ in range(MOST_PASSES):
        before = serving(fleet)
        report = cycle(outside, failures, now_s)
        outcome = report.decision.outcomes["chat/teacher"]
        assert [carried.error for carried in report.carried if carried.error] == []
        assert len(serving(fleet)) >= least or not any(isinstance(c.action, Stop) for c in report.carried)
        assert serving(fleet) or not before or not least, "the last one that serves stays"
        failures = count(failures, report.seen.world.replicas, was, now_s)
        was = {replica.spec.name: replica.phase for replica in report.seen.world.replicas}
        fleet.tick()
        if isinstance(outcome, Done) and fleet.temper != "silent":
            break
        if isinstance(outcome, Blocked) and all(f.count >= STUCK_AFTER for f in failures.values()):
            break
        now_s += LONGEST_RETRY_S / 4
    return report


@pytest.mark.parametrize(
    ("old", "new", "room", "temper"),
    [
        pytest.param(*case, id=f"{case[0]} old, {case[1]} new, room for {case[2]} more, new ones {case[3]}")
        for case in product((0, 1, 2), (0, 1, 2), (0, 1, 2), TEMPERS)
    ],
)
def test_every_small_rollout_is_safe_and_ends(old: int, new: int, room: int, temper: str) -> None:
    """Promises 5, 6 and 7: nothing that serves is lost, it ends in one clear answer, and repeating it does nothing.

    Without room for one more, one of several may be missing while its replacement starts; the only one never.
    """
    capacity = max(old + room, new, 1)
    outside, fleet = the_old(old, new, temper, capacity)
    spare = 1 if old > 1 and capacity == old else 0

    last = walk(outside, fleet, max(0, min(old, new) - spare))

    outcome = last.decision.outcomes["chat/teacher"]
    if new and temper == "failing":
        assert isinstance(outcome, Blocked)
        assert len(serving(fleet)) >= min(old, new) - spare
    elif new and old == capacity == 1:
        assert isinstance(outcome, Blocked)
        assert [r.spec.artifact for r in fleet.observe()] == [OLD.path]
    elif new and temper == "silent":
        assert isinstance(outcome, Wait), "a silent replica is waited for, and not replaced"
        assert [r.spec.artifact for r in fleet.observe()] == [NEW.path] * new
    else:
        assert outcome == Done(f"{new} of {new} ready")
        assert [r.spec.artifact for r in fleet.observe()] == [NEW.path] * new
    if isinstance(outcome, Blocked):
        assert all(rejected.need and rejected.have for rejected in outcome.rejections)
    else:
        again = cycle(outside, {}, 10_000.0)
        assert [type(carried.action).__name__ for carried in again.carried] == ["SetRoutes"]
        assert again.decision.outcomes == last.decision.outcomes
