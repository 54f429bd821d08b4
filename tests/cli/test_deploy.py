"""What deploying builds and waits for, beside what a controller keeps already; the controller is the real one."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import huggingface_hub
import pytest
from worlds import a_service, a_site, an_outside

from cli import control, deploy
from cli.control import Control
from orchestrator.api.load import load_bytes
from orchestrator.control.loop import Controller
from orchestrator.errors import Refused, Unavailable
from orchestrator.offline import open_desk
from orchestrator.ports import Outside
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from conftest import Command

CLOUD = "apiVersion: headwater.dev/v1alpha1\nkind: Site\nmetadata: {name: cloud}\n"
CLOUD += "spec: {role: cloud, region: cn-east, fleet: ray, pools: [{profile: ascend-910b3, nodes: 4, chips: 8}]}\n"


@pytest.fixture
def parts(command: Command) -> tuple[Path, Path]:
    """The example as a file with the service and a file with the sites."""
    service, _, sites = command.quickstart().read_text().partition("\n---\n")
    return command.write(service), command.write(sites, "sites.yaml")


def test_sites_that_the_controller_keeps_are_planned_with(command: Command, parts: tuple[Path, Path]) -> None:
    service, sites = parts
    kept = tuple(one.document for one in load_bytes(sites.read_bytes(), "sites.yaml"))
    alone, beside = (open_desk([service], Settings(home=command.home), known) for known in ((), kept))

    assert alone.to_build(alone.plan()) == ()
    assert [model for model, _ in beside.to_build(beside.plan())] == ["smollm2-135m-instruct"]
    assert beside.as_text() == alone.as_text()


def test_published_weights_are_not_built_whoever_runs_the_site(command: Command, parts: tuple[Path, Path]) -> None:
    desk = open_desk([parts[0], command.write(CLOUD, "cloud.yaml")], Settings(home=command.home))
    placement = desk.plan()

    assert "teacher" in [tier.tier for tier in placement.tiers if hasattr(tier, "groups")]
    assert desk.to_build(placement) == ()


def test_deploying_a_model_whose_weights_cannot_be_had_says_how_to_give_others(
    command: Command, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    desk = open_desk(
        [command.quickstart(("model: smollm2-135m-instruct", "model: qwen3-0.6b"))], Settings(home=command.home)
    )

    for dry_run in (True, False):
        with pytest.raises(Refused, match=r"model: \{source: \./FILE\.gguf, licence: Apache-2\.0\}"):
            deploy.build_missing(desk, dry_run=dry_run)
    assert "would build" not in capsys.readouterr().err


def test_weights_that_a_hub_gives_can_be_built(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: object())
    desk = open_desk(
        [command.quickstart(("model: smollm2-135m-instruct", "model: qwen3-0.6b"))], Settings(home=command.home)
    )

    assert deploy.build_missing(desk, dry_run=True) is True


class InProcess:
    """The control API's answers without HTTP: a controller that makes a pass before every status."""

    def __init__(self, outside: Outside) -> None:
        now = iter(range(1, 1000))
        self.controller = Controller(outside, every_s=1.0, clock=lambda: float(next(now)))

    def wait(self, until: Callable[[dict[str, Any]], bool], timeout_s: float, what: str) -> dict[str, Any]:
        for _ in range(int(timeout_s)):
            self.controller.run_once()
            if until(self.controller.status()):
                return self.controller.status()
        raise AssertionError(what)


def test_deploying_waits_for_its_own_services_and_no_others(capsys: pytest.CaptureFixture[str]) -> None:
    stuck = a_service("stuck", student={"model": "tiny", "quantization": ["int8"]})
    running: Any = InProcess(an_outside(a_service(), stuck, a_site()))

    deploy._wait(running, {"chat"}, 0.0, 9)
    assert capsys.readouterr().err == "chat/student: 1 of 1 ready\n"
    with pytest.raises(Refused, match=r"^stuck/student: .*headwater build tiny --quantization int8$"):
        deploy._wait(running, {"stuck"}, 0.0, 9)


def test_deploying_only_a_site_waits_for_the_next_pass_and_no_service() -> None:
    running: Any = InProcess(an_outside(a_site()))

    deploy._wait(running, set(), 0.0, 9)

    assert running.controller.status()["seenAt"] > 0


@pytest.mark.parametrize("phase", ["ready", "stopped"])
def test_waiting_outlives_the_controller_and_not_the_node(phase: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[dict[str, Any] | None] = [None, {"seenAt": 1.0}]

    def status(_: Control) -> dict[str, Any]:
        answer = answers.pop(0)
        if answer is None:
            raise Unavailable("the controller does not answer")
        return answer

    monkeypatch.setattr(Control, "status", status)
    monkeypatch.setattr(control, "state", lambda _: {"phase": phase})
    waiting = Control(Settings())

    if phase == "stopped":
        with pytest.raises(Unavailable, match="does not answer"):
            waiting.wait(bool, 5, "not ready")
    else:
        assert waiting.wait(bool, 5, "not ready") == {"seenAt": 1.0}


def test_two_that_start_at_once_wait_for_each_other(tmp_path: Path) -> None:
    code = f"from orchestrator.local import _alone\nfrom pathlib import Path\nwith _alone(Path({str(tmp_path)!r})):\n"
    code += " print('in', flush=True)\n input()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True) as first:
        assert first.stdout is not None
        first.stdout.readline()
        with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True) as second:
            entered: list[str] = []
            reader = threading.Thread(target=lambda: entered.append(second.stdout.readline()))
            reader.start()
            reader.join(1)
            assert entered == []
            first.communicate("\n")
            reader.join(10)
            assert entered == ["in\n"]
            second.communicate("\n")
