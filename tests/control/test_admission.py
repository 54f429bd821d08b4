"""What may be wanted: no document takes a tier its place."""

from __future__ import annotations

import pytest
from worlds import a_pool, a_profile, a_service, a_site, a_tier, an_outside

from orchestrator.adapters.memory import MemoryStore
from orchestrator.api.kinds import Document
from orchestrator.control.loop import Controller
from orchestrator.errors import Refused

HASTY = a_tier(slo={"tpot": "1us"})


def a_controller(*documents: Document) -> tuple[Controller, MemoryStore]:
    outside = an_outside(*(documents or (a_site(),)))
    return Controller(outside, every_s=1.0, clock=lambda: 7.0), outside.store


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(
    ("kept", "new", "said"),
    [
        pytest.param(
            (a_service(), a_site(), a_site("zone", role="cloud")),
            a_service(student=a_tier(slo={"tpot": "1us"}, where={"role": "edge"})),
            r"chat/student would lose its place: lab/0 box edge int4 .*: tpot \(needs at most 0.0 ms, .* predicted\)",
            id="an edit that asks too much, with the nearest reason",
        ),
        pytest.param(
            (a_site(),),
            a_service(student=HASTY),
            "chat/student has no place: lab/0 box .*: tpot .*",
            id="a new service that asks too much",
        ),
        pytest.param(
            (a_profile(),),
            a_service(),
            "chat/student has no place: no site is known; deploy one first or with it",
            id="a new service without any site",
        ),
        pytest.param(
            (a_service(), a_site()),
            a_service(teacher=a_tier("tiny", ("bf16",), slo={"ttft": "1us"})),
            "chat/teacher has no place: .*",
            id="a new tier of a service that goes on",
        ),
        pytest.param(
            (a_service(), a_site()),
            a_site("lab", role="cloud", region="eu"),
            None,
            id="a site that changes and still has room",
        ),
        pytest.param(
            (a_service(), a_site()),
            a_site("lab", a_pool("npu")),
            "chat/student would lose its place: lab/0 npu vllm int4: quantization .*",
            id="a site that loses its pool",
        ),
        pytest.param(
            (a_service(student=a_tier(replicas={"min": 30, "max": 30})), a_site()),
            a_service("all", student=a_tier(replicas={"min": 30, "max": 30})),
            r"(?:(?:; )?\w+/student would have less: \d+ of at least 30 replicas)+",
            id="a service that takes another's room",
        ),
        pytest.param((a_site(),), a_service(student=a_tier(quantization=("int8",))), None, id="what is not built yet"),
        pytest.param(
            (a_service(student=HASTY), a_site()),
            a_service(student=HASTY, rate="2/h"),
            None,
            id="a tier that had no place before",
        ),
    ],
)
def test_documents(kept: tuple[Document, ...], new: Document, said: str | None, *, dry_run: bool) -> None:
    controller, store = a_controller(*kept)
    before = store.documents()

    if said is None:
        assert controller.apply((new,), dry_run=dry_run)["changed"] == (
            [] if dry_run else [f"{new.kind}/{new.metadata.name}"]
        )
        assert (new in store.documents()) is not dry_run
    else:
        with pytest.raises(Refused, match=f"^{said}; nothing was changed$"):
            controller.apply((new,), dry_run=dry_run)
        assert (store.documents(), store.events(9)) == (before, ())


def test_a_refused_edit_leaves_what_serves() -> None:
    controller, _ = a_controller(a_service(), a_site())
    controller.run_once()
    controller.run_once()

    with pytest.raises(Refused):
        controller.apply((a_service(student=HASTY),), dry_run=False)
    controller.run_once()

    (service,) = controller.status()["services"]
    assert service["state"] == "done"


def test_a_blocked_tier_says_the_nearest_reason_whatever_the_names_of_the_sites() -> None:
    tier = a_tier(slo={"tpot": "1us"}, where={"role": "edge"})
    controller, _ = a_controller(a_service(student=tier), a_site(), a_site("zone", role="cloud"))
    controller.run_once()

    (blocked,) = controller.status()["services"][0]["tiers"]
    assert ": tpot (needs at most 0.0 ms" in blocked["why"]
    assert [no["rule"] for no in blocked["rejected"]] == ["tpot", "place"]
