"""The Ray fleet against answers that Ray gives; a whole Ray is started end to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import ray
from ray.exceptions import ActorDiedError
from worlds import a_spec

from orchestrator.adapters.ray_fleet import RayFleet
from orchestrator.errors import Refused
from orchestrator.settings import SITE_LABEL
from runtimes.contract import Phase, ReplicaReport


def machine(site: str, chip: str, *, alive: bool = True) -> dict[str, Any]:
    return {"Alive": alive, "Labels": {SITE_LABEL: site}, "Resources": {f"chip-{chip}": 1.0, "CPU": 2.0}}


@pytest.mark.parametrize(
    ("machines", "said"),
    [
        pytest.param([machine("shed", "local")], "no machine of site lab is connected (connected: shed)", id="a site"),
        pytest.param(
            [machine("lab", "local"), machine("shed", "npu")], "lab has the chip npu (there: local)", id="a chip"
        ),
        pytest.param([machine("lab", "npu", alive=False)], "connected: no site", id="a machine that is gone"),
    ],
)
def test_a_replica_is_refused_without(
    machines: list[dict[str, Any]], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise 6: it would wait for ever, and look as if it were only starting."""
    monkeypatch.setattr(ray, "nodes", lambda: machines)
    fleet = RayFleet(tmp_path)
    monkeypatch.setattr(fleet, "_actor", lambda _: None)

    with pytest.raises(Refused) as told:
        fleet.start(a_spec(chip="npu"))
    assert said in str(told.value)


@pytest.mark.parametrize(
    ("phase", "seen"),
    [
        pytest.param(Phase.STARTING, [Phase.FAILED], id="before it was ready has failed, so that tries are counted"),
        pytest.param(Phase.READY, [], id="after it was ready is gone"),
    ],
)
def test_a_process_that_ended_for_good(
    phase: Phase, seen: list[Phase], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dead:
        report = type("Call", (), {"remote": staticmethod(lambda: "call")})

    def died(*_: object, **__: object) -> None:
        raise ActorDiedError

    fleet = RayFleet(tmp_path)
    fleet._known = {"a": ReplicaReport(spec=a_spec("a"), phase=phase)}
    monkeypatch.setattr(fleet, "_names", lambda: ["a"])
    monkeypatch.setattr(fleet, "_actor", lambda _: Dead)
    monkeypatch.setattr(ray, "wait", lambda *_, **__: None)
    monkeypatch.setattr(ray, "get", died)

    assert [replica.phase for replica in fleet.observe()] == seen
