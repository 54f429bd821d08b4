"""The fakes beyond what every adapter promises: how tests tell a replica what to say."""

from __future__ import annotations

from worlds import a_spec

from orchestrator.adapters.memory import MemoryFleet
from runtimes.contract import Phase


def the_phase(fleet: MemoryFleet) -> Phase | None:
    return next((replica.phase for replica in fleet.observe()), None)


def test_a_replica_is_ready_at_once_or_when_it_is_told() -> None:
    fleet, slow = MemoryFleet(), MemoryFleet(ready_at_once=False)
    for one in (fleet, slow):
        one.start(a_spec("a"))

    assert (the_phase(fleet), the_phase(slow)) == (Phase.READY, Phase.STARTING)
    slow.set_phase("a", Phase.READY)
    assert the_phase(slow) is Phase.READY


def test_a_busy_replica_drains_until_its_work_is_done() -> None:
    fleet = MemoryFleet()
    fleet.start(a_spec("a"))
    fleet.set_phase("a", Phase.READY, running=2)

    fleet.stop("a")
    fleet.stop("a")
    assert the_phase(fleet) is Phase.DRAINING

    fleet.set_phase("a", Phase.DRAINING, running=0)
    fleet.stop("a")
    assert the_phase(fleet) is None
