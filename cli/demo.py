"""`headwater demo`: the main job from weights to answers on this machine, then leave nothing behind."""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import deploy, down, up
from cli.chat import Answer, ask
from cli.options import PortOption
from cli.output import draw, say, time_for_people

if TYPE_CHECKING:
    from orchestrator.core.performance.runner import Band, Prediction, Runner
    from orchestrator.offline import Desk

SERVICE = "assistant"
ANSWER_TOKENS = 60
PROMPTS = (
    "What is the capital of France?",
    "Write one sentence about the sea.",
    "Name three fruits.",
)


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog="Example: headwater demo --keep")
    def demo(
        keep: Annotated[bool, typer.Option("--keep", help="Leave it running; `headwater down` ends it.")] = False,
        port: PortOption = None,
        to: Annotated[Path, typer.Option(help="Folder for the teacher's manifests.")] = Path("headwater-manifests"),
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the plan.")] = False,
    ) -> None:
        """Build, plan, start, ask three prompts, write the teacher's manifests, stop."""
        with resources.as_file(resources.files("manifests") / "examples" / "quickstart.yaml") as file:
            _run([file], port, to, keep=keep, dry_run=dry_run)


def _run(files: list[Path], port: int | None, to: Path, *, keep: bool, dry_run: bool) -> None:
    from cli.plan import print_plan
    from orchestrator import local
    from orchestrator.core.explain import placement_view
    from orchestrator.settings import read_settings

    settings = read_settings()
    settings = settings.model_copy(update={"port": port}) if port else settings
    step = _Steps(1 if dry_run else 5)
    if not dry_run:
        local.check_port(settings)
        up.check(local.state(settings), up.HERE, port)
        step("Build the student: real weights to a quantized ONNX graph")
        if not deploy.build_missing(deploy.read(files), dry_run=False):
            say("built already")
    step("Plan student and teacher together")
    desk = deploy.read(files)
    print_plan(placement_view(desk.plan()))
    if dry_run:
        return
    step("Start Ray, the controller, the gateway and the student")
    started = up.start(up.HERE, port)
    try:
        _serve(files, step, desk, to, keep=keep)
    finally:
        if started and (not keep or sys.exc_info()[0]):
            down.stop()
    if keep:
        say('left running: headwater status, headwater chat assistant "...", headwater down')


def _serve(files: list[Path], step: _Steps, desk: Desk, to: Path, *, keep: bool) -> None:
    """Deploy, ask, write the manifests; after it the controller keeps what it kept before, unless told to keep all."""
    from cli.control import Control
    from cli.render import write
    from orchestrator import local
    from orchestrator.settings import read_settings

    settings = read_settings()
    control = Control(settings)
    before = {(one.kind, one.metadata.name) for one in control.documents()}
    try:
        deploy.run(files, dry_run=False, wait_s=deploy.READY_S, control=control)
        step("Ask three prompts over the OpenAI protocol")
        answers: list[Answer] = []
        for prompt in PROMPTS:
            typer.echo(f"> {prompt}")
            answers.append(ask(local.state(settings)["port"], SERVICE, prompt, max_tokens=ANSWER_TOKENS))
        compare(answers, desk)
        step("Write the teacher's Kubernetes manifests")
        for path in write(files, to):
            say(f"{path}: look at it, then on the cluster: kubectl apply -f {path}")
    finally:
        if not keep:
            for one in control.documents():
                if (one.kind, one.metadata.name) not in before:
                    control.delete(one.kind, one.metadata.name, dry_run=False)


def compare(answers: list[Answer], desk: Desk) -> None:
    """Each answer beside what is predicted for a prompt and an answer of its length."""
    from orchestrator.core.placement.result import Placed
    from orchestrator.core.runners import runner_of

    rows = []
    placed = (tier for tier in desk.plan().tiers if isinstance(tier, Placed))
    student = next(tier for tier in placed if tier.tier == "student")
    way = runner_of(student.groups[0].option.configuration, desk.catalog, desk.wanted()[1].artifacts)
    for number, answer in enumerate(answers, 1):
        expected = _predicted(way, answer)
        lengths = f"{answer.prompt_tokens} in, {answer.tokens} out"
        first = time_for_people(answer.first_token_s), _seconds(expected.ttft_s)
        rows.append((f"prompt {number}", lengths, *first, f"{answer.tokens_per_s:.0f}", _pace(expected.tpot_s)))
    columns = ("", "tokens", "first token", "predicted (p10 - p90)", "tokens/s", "predicted (p10 - p90)")
    draw("Measured beside predicted for the same lengths", columns, rows)


def _predicted(way: Runner, answer: Answer) -> Prediction:
    """What is predicted of one prompt and answer of this length with the engine to itself."""
    from orchestrator.core.performance.runner import Workload
    from orchestrator.core.performance.serving import predict

    lengths = Workload(max(1, answer.prompt_tokens), max(1, answer.tokens))
    return predict(way, lengths, sequences=1, round_trip_s=0.0)


def _seconds(band: Band) -> str:
    return f"{time_for_people(band.low)} - {time_for_people(band.high)}"


def _pace(band: Band) -> str:
    """Tokens per second; the longest time is the slowest pace."""
    return f"{1 / band.high:.0f} - {1 / band.low:.0f}"


class _Steps:
    """Numbered headlines."""

    def __init__(self, total: int) -> None:
        self._total, self._now = total, 0

    def __call__(self, title: str) -> None:
        self._now += 1
        say(f"\n[{self._now}/{self._total}] {title}")
