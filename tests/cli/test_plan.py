"""How a plan is drawn for people, where that needs no command."""

from __future__ import annotations

import pytest
from worlds import a_catalog, a_pool, a_service, a_site, a_tier, a_world

from cli.plan import print_plan
from orchestrator.core.explain import placement_view
from orchestrator.core.placement.place import place


@pytest.mark.parametrize("whole", [False, True])
def test_a_teacher_without_replicas_is_told_with_the_reason(capsys: pytest.CaptureFixture[str], *, whole: bool) -> None:
    service = a_service(
        student=a_tier(), teacher=a_tier(quantization=("bf16",)), escalation={"target": 0.9, "budget": "0%"}
    )
    world = a_world(a_site("lab", a_pool(), a_pool("npu")))

    print_plan(placement_view(place([service], a_catalog(), world)), all_rejections=whole)

    told = capsys.readouterr().out
    assert "nowhere because: no request comes to it, so it needs no replica" in told
    assert "Not everything fits" not in told
