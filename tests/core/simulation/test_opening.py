"""From services and sites to the replicas that a trace is played on, and the answer as plain values."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from scenes import APace
from worlds import MIB, a_catalog, a_pool, a_service, a_site, a_tier, a_world

from orchestrator.api.service import ModelService
from orchestrator.core.configurations import Apart
from orchestrator.core.decide import QUEUE_PER_SLOT, decide
from orchestrator.core.performance.runner import Runner
from orchestrator.core.simulation import opening
from orchestrator.core.simulation.opening import crowded, scenes
from orchestrator.core.simulation.request import Asked
from orchestrator.core.simulation.run import play
from orchestrator.core.simulation.scene import Crew, Scene
from orchestrator.core.simulation.view import simulation_view
from orchestrator.errors import Refused

LAB = a_site("lab", a_pool(price="2/h"))
CLOUD = a_site(
    "cloud", a_pool("npu", chips=8, price="8/h"), role="cloud", fleet="none", link={"rtt": "20ms", "bandwidth": "1Gbps"}
)
CASCADE: dict[str, Any] = {
    "student": a_tier(where={"role": "edge"}, slo={"ttft": "10s", "tpot": "1s"}),
    "teacher": a_tier(quantization=("bf16",), where={"role": "cloud"}),
    "escalation": {"target": 0.9, "budget": "50%"},
}


@pytest.fixture(autouse=True)
def _a_known_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    def pace(runner: Runner, sequences: int) -> APace:
        return APace(slots=sequences, mixed=runner.engine.spec.recipe != "edge")

    monkeypatch.setattr(opening, "pace", pace)


def opened(*services: ModelService, only: str | None = None) -> tuple[Scene, ...]:
    return scenes(services, a_catalog(), a_world(LAB, CLOUD), only=only, shared_prefixes=False)


def crew_of(scene: Scene, tier: str) -> Crew:
    (crew,) = scene.stages[tier].crews
    return crew


def test_a_cascade_opens_as_it_was_decided() -> None:
    (scene,) = opened(a_service(**CASCADE))

    assert (scene.service, scene.front, scene.share) == ("chat", "student", 0.5)
    student, teacher = crew_of(scene, "student"), crew_of(scene, "teacher")
    assert (student.where, student.names, student.price_per_h) == ("lab/0", ("chat-student-0-0",), 2)
    assert (student.limits.queue, student.limits.context_tokens) == (QUEUE_PER_SLOT * student.pace.slots, 256)
    assert (teacher.where, teacher.limits.queue, teacher.round_trip_s) == ("cloud/0", None, 0.02)
    assert (scene.stages["student"].goal.ttft_s, scene.stages["teacher"].goal.ttft_s) == (10, None)


def test_an_accelerator_keeps_prompts_in_the_memory_it_has_left_and_the_edge_engine_keeps_none() -> None:
    (scene,) = opened(a_service(**CASCADE))

    assert crew_of(scene, "student").prefix_blocks == 0
    block_bytes = 512 * 2 * 2 * (16 + 16) * 2  # tokens, layers, heads, key and value, two bytes each
    assert 0 < crew_of(scene, "teacher").prefix_blocks < 64 * 1024 * MIB / block_bytes


def test_one_service_of_several_can_be_played_alone() -> None:
    services = (a_service("a", rate="2/h"), a_service("b", rate="4/h"))

    assert [(scene.service, scene.weight * 3600) for scene in opened(*services)] == [
        ("a", pytest.approx(2)),
        ("b", pytest.approx(4)),
    ]
    assert [scene.service for scene in opened(*services, only="b")] == ["b"]


def test_a_tier_without_a_place_is_named() -> None:
    nowhere = a_service(student=a_tier(where={"region": "mars"}))

    with pytest.raises(Refused, match=r"chat/student: no place, so nothing to simulate"):
        opened(nowhere)


def test_prefill_and_decode_apart_are_not_played_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def planned_apart(*given: Any, **named: Any) -> Any:
        decision = decide(*given, **named)
        student, teacher = decision.placement.tiers
        (group,) = teacher.groups
        c = group.option.configuration
        option = replace(group.option, apart=Apart(c, 1, 1, group.option.memory))
        tiers = (student, replace(teacher, groups=(replace(group, option=option),)))
        return replace(decision, placement=replace(decision.placement, tiers=tiers))

    monkeypatch.setattr(opening, "decide", planned_apart)

    with pytest.raises(Refused, match=r"chat/teacher: planned with prefill and decode apart.* `disaggregation: never`"):
        opened(a_service(**CASCADE))


def test_replicas_that_share_a_machine_are_noted() -> None:
    services = [a_service(name, student=a_tier(where={"role": "edge"})) for name in "ab"]
    crews = [crew_of(scene, "student") for scene in opened(*services)]

    (note,) = crowded(crews, a_world(LAB, CLOUD), a_catalog())

    assert note == "2 replicas share 1 machine of lab/0; each is played as if it had one alone"
    assert crowded(crews[:1], a_world(LAB, CLOUD), a_catalog()) == ()


def test_the_answer_is_plain_values_with_every_number_in_its_place() -> None:
    trace = [Asked(at, 10, 3) for at in range(0, 3600, 10)]

    value = json.loads(json.dumps(simulation_view(play(opened(a_service(**CASCADE)), trace), ("a note",))))

    assert (value["requests"], value["seconds"], value["notes"]) == (360, pytest.approx(3590.8, abs=1), ["a note"])
    (service,) = value["services"]
    assert (service["requests"], service["answered"], service["refused"]) == (360, 360, 0)
    assert service["meanTokens"] == {"input": 10, "output": 3, "plannedInput": 16, "plannedOutput": 16}
    assert service["escalated"] == {"plannedShare": 0.5, "requests": 180, "share": 0.5}
    student, teacher = service["tiers"]
    assert (student["tier"], student["askedPerSecond"]) == ("student", pytest.approx(0.1, rel=0.01))
    assert student["ttftSeconds"] == dict.fromkeys(("mean", "p50", "p95", "p99", "max"), pytest.approx(0.1))
    assert student["latencySeconds"]["p95"] == pytest.approx(0.3)
    assert student["objectives"] == {
        "ttftSeconds": 10,
        "tpotSeconds": 1,
        "ttftMet": 1,
        "tpotMet": 1,
        "met": 1,
    }
    assert teacher["requests"] == 180
    assert teacher["latencySeconds"]["p50"] == pytest.approx(0.3 + 0.02)
    assert service["latencySeconds"]["max"] == pytest.approx(0.3 + 0.3 + 0.02)
    (edge,), (cloud,) = student["groups"], teacher["groups"]
    assert edge["busy"] == pytest.approx(0.03, rel=0.01)
    assert edge["cost"] == pytest.approx(2 * value["seconds"] / 3600, rel=1e-4)
    assert service["cost"] == pytest.approx(edge["cost"] + cloud["cost"], rel=1e-4)
    assert service["costPerMillionRequests"] == pytest.approx(service["cost"] / 360 * 1e6, rel=1e-4)


def test_a_trace_that_nobody_answers_has_no_times() -> None:
    value = simulation_view(play(opened(a_service()), [Asked(0, 10_000, 1)]))

    (tier,) = value["services"][0]["tiers"]
    assert (tier["refused"]["tooLong"], tier["ttftSeconds"], value["services"][0]["costPerMillionRequests"]) == (
        1,
        None,
        None,
    )


def test_the_order_of_the_services_changes_nothing() -> None:
    """Promise 1: input order never matters."""
    services = [a_service("a"), a_service("b"), a_service("c", rate="9/h")]
    trace = [Asked(at / 3, 10, 9) for at in range(200)]

    one, two = (simulation_view(play(opened(*order), trace)) for order in (services, services[::-1]))

    assert json.dumps(one) == json.dumps(two)


def test_a_teacher_without_replicas_is_never_asked() -> None:
    nothing = CASCADE | {"escalation": {"target": 0.9, "budget": "0%"}}

    value = simulation_view(play(opened(a_service(**nothing)), [Asked(at, 10, 3) for at in range(9)]))

    (service,) = value["services"]
    student, teacher = service["tiers"]
    assert (service["answered"], student["requests"], teacher["requests"], teacher["groups"]) == (9, 9, 0, [])
