"""`headwater simulate`: what the plan would do with a trace of requests, played in virtual time."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.options import FilesArgument
from cli.output import (
    Output,
    OutputOption,
    count,
    draw,
    number_for_people,
    rate_for_people,
    say,
    show,
    time_for_people,
)
from runtimes.errors import Invalid

SAY_EVERY_S = 2.0
SLOWEST, FASTEST = 1e-6, 1e6  # times the pace of the trace


def _speed(written: float) -> float:
    """Checked here, because a range lets `nan` say that it is too large."""
    if not SLOWEST <= written <= FASTEST:
        raise typer.BadParameter(
            f"{written:g} is no speed; write a number from {SLOWEST:f} to {FASTEST:,.0f}, such as 2"
        )
    return written


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(
        epilog="Examples: headwater simulate service.yaml sites.yaml --trace azure_conv.csv; "
        "headwater simulate service.yaml --trace mooncake.jsonl.gz --speed 0.5 --limit 5000 -o json; "
        "headwater simulate service.yaml --trace azure_code.csv --repeat 100 --service assistant"
    )
    def simulate(
        files: FilesArgument,
        trace: Annotated[
            Path,
            typer.Option(
                "--trace",
                "-t",
                exists=True,
                dir_okay=False,
                show_default=False,
                help="Azure CSV or Mooncake JSON lines.",
            ),
        ],
        service: Annotated[
            str | None,
            typer.Option(help="Who gets the requests; all by their demand, without.", show_default=False),
        ] = None,
        speed: Annotated[
            float, typer.Option(callback=_speed, help="Requests come so many times as fast: 2 is twice as fast.")
        ] = 1.0,
        repeat: Annotated[int, typer.Option(min=1, max=1_000_000, help="Play the trace so often, end to end.")] = 1,
        limit: Annotated[
            int | None, typer.Option(min=1, help="Stop after so many requests.", show_default=False)
        ] = None,
        shared_cache: Annotated[
            bool, typer.Option("--shared-cache", help="Replicas find what any of them has read of a prompt.")
        ] = False,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Play a trace on the plan: first tokens, objectives met, queues, escalations and cost; needs no hardware."""
        from orchestrator.adapters.traces import read_trace
        from orchestrator.core.simulation.opening import crowded, scenes
        from orchestrator.core.simulation.run import play
        from orchestrator.core.simulation.view import simulation_view
        from orchestrator.offline import open_desk
        from orchestrator.settings import read_settings

        desk = open_desk(files, read_settings())
        names = sorted(one.metadata.name for one in desk.services)
        for kind, given in (("ModelService", desk.services), ("Site", desk.sites)):
            if not given:
                raise Invalid(f"no {kind} in {', '.join(map(str, files))}; give the file that has it as well")
        if service is not None and service not in names:
            raise Invalid(f"--service {service} is not in the files; they have {', '.join(names)}")
        wanted, world = desk.wanted()
        played = scenes(wanted, desk.catalog, world, only=service, shared_prefixes=shared_cache)
        crews = [crew for scene in played for stage in scene.stages.values() for crew in stage.crews]
        asked = read_trace(trace, repeat=repeat, limit=limit, speed=speed)
        outcome = play(played, asked, _progress())
        value = simulation_view(outcome, crowded(crews, world, desk.catalog))
        show(value, output, lambda: print_simulation(value))


def _progress() -> Callable[[int], None]:
    """Says now and then how many requests were played."""
    begun_s = said_s = time.monotonic()

    def tell(requests: int) -> None:
        nonlocal said_s
        now_s = time.monotonic()
        if now_s - said_s >= SAY_EVERY_S:
            said_s = now_s
            say(f"{count(requests, 'request')}, {requests / (now_s - begun_s):,.0f} a second")

    return tell


def print_simulation(value: dict[str, Any]) -> None:
    """Draw the outcome for a person."""
    for service in value["services"]:
        _print_service(service, value["seconds"])
    for note in value["notes"]:
        typer.echo(f"note: {note}")


def _print_service(service: dict[str, Any], seconds: float) -> None:
    requests, refused = service["requests"], service["refused"]
    typer.echo(f"{service['service']}: {count(requests, 'request')} in {seconds:,.0f} s, {refused:,} refused")
    mean = service["meanTokens"]
    if requests:
        asked = f"{mean['input']:,.0f} tokens and answers of {mean['output']:,.0f} in the mean"
        planned = f"{mean['plannedInput']:,} and {mean['plannedOutput']:,}"
        typer.echo(f"  prompts of {asked}; planned for {planned}")
    rows = [(f"{tier['tier']} {what}", *_times(tier[key])) for tier in service["tiers"] for key, what in TIMES.items()]
    if len(service["tiers"]) > 1:
        rows += [(f"in all {TIMES[key]}", *_times(service[key])) for key in ("ttftSeconds", "latencySeconds")]
    draw("times", ("", "mean", "p50", "p95", "p99"), rows)
    draw("replicas", GROUPS, [_group(tier, group) for tier in service["tiers"] for group in tier["groups"]])
    for tier in service["tiers"]:
        _print_tier(tier)
    away = service["escalated"]
    if away["plannedShare"]:
        typer.echo(f"  to the teacher: {away['requests']:,}, {away['share']:.1%} of the student's answers")
    if service["costPerMillionRequests"] is not None:
        whole, each, tokens = (
            number_for_people(service[key]) for key in ("cost", "costPerMillionRequests", "costPerMillionOutputTokens")
        )
        answered = f"{each} for a million answered requests, {tokens} for a million tokens of answers"
        typer.echo(f"  cost of the whole time: {whole}; {answered}")


GROUPS = ("group", "replicas", "time with work", "requests at once in the mean", "longest queue", "cost")
TIMES = {
    "queueSeconds": "queue",
    "ttftSeconds": "first token",
    "tpotSeconds": "each further token",
    "latencySeconds": "whole answer",
}


def _times(times: dict[str, float] | None) -> tuple[str, ...]:
    return tuple(time_for_people(times[name]) if times else "-" for name in ("mean", "p50", "p95", "p99"))


def _group(tier: dict[str, Any], group: dict[str, Any]) -> tuple[str, ...]:
    name = f"{tier['tier']} at {group['pool']}: {group['runs']}"
    running = f"{group['running']:.1f} of {group['slots']}"
    return (
        name,
        f"{group['replicas']}",
        f"{group['busy']:.0%}",
        running,
        f"{group['longestQueue']:,}",
        number_for_people(group["cost"]),
    )


def _print_tier(tier: dict[str, Any]) -> None:
    asked, planned = tier["askedPerSecond"], tier["plannedPerSecond"]
    rate = f"{rate_for_people(asked)} asked" if asked is not None else "asked all at once"
    made = f", {tier['outputTokensPerSecond']:,.0f} tokens/s" if tier["outputTokensPerSecond"] is not None else ""
    typer.echo(f"  {tier['tier']}: {rate}, planned for {rate_for_people(planned)}{made}; {_met(tier)}")
    reasons = {"full": "every replica was full", "tooLong": "longer than the context", "noReplica": "no replica"}
    for key, reason in reasons.items():
        if tier["refused"][key]:
            typer.echo(f"    refused: {tier['refused'][key]:,}, {reason}")
    if tier["cachedShare"]:
        typer.echo(f"    found in the cache: {tier['cachedShare']:.1%} of the prompt tokens")


def _met(tier: dict[str, Any]) -> str:
    """The share of requests that got what was wanted; where nothing was, the share that got an answer."""
    if not tier["requests"]:
        return "no request came here"
    met = tier["objectives"]
    wanted = (("first token", met["ttftSeconds"], met["ttftMet"]), ("per token", met["tpotSeconds"], met["tpotMet"]))
    said = [f"{what} within {time_for_people(most)}: {share:.1%}" for what, most, share in wanted if most is not None]
    if said:
        return f"objectives met {met['met']:.1%} ({'; '.join(said)})"
    return f"no objectives are set; answered {tier['answered'] / tier['requests']:.1%}"
