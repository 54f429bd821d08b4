"""`headwater plan`: where everything would go, and why not elsewhere; works without a controller."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.files import write_whole
from cli.locking import NAME as LOCK
from cli.locking import lock_of_desk, verify_lock, write_lock
from cli.options import FilesArgument
from cli.output import (
    Output,
    OutputOption,
    bytes_for_people,
    draw,
    number_for_people,
    price_for_people,
    rate_for_people,
    say,
    show,
    time_for_people,
)
from runtimes.errors import Invalid, Refused

if TYPE_CHECKING:
    from orchestrator.offline import Desk


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(
        epilog="Examples: headwater plan service.yaml sites.yaml; headwater plan service.yaml --output json; "
        "headwater plan service.yaml --lock; headwater plan service.yaml --locked headwater.lock; "
        "headwater plan service.yaml --page plan.html"
    )
    def plan(
        files: FilesArgument,
        output: OutputOption = Output.TABLE,
        why: Annotated[
            bool, typer.Option("--why", help="Show every rejected way with its numbers, not only the nearest.")
        ] = False,
        lock: Annotated[
            bool,
            typer.Option(
                "--lock", help="Write the plan with hashes of its inputs: headwater.lock beside the first file."
            ),
        ] = False,
        lock_file: Annotated[
            Path | None, typer.Option("--lock-file", help="Write the lock there instead.", dir_okay=False)
        ] = None,
        locked: Annotated[
            Path | None,
            typer.Option(
                "--locked", help="Refuse when inputs or plan differ from this lock.", exists=True, dir_okay=False
            ),
        ] = None,
        page: Annotated[
            Path | None, typer.Option("--page", help="Write an HTML page with a picture of the plan.", dir_okay=False)
        ] = None,
    ) -> None:
        """Plan services over sites: place, memory, predicted speed, cost, and the reason of every rejection.

        A tier without a place ends it with 1. What is placed and carries less than its demand is told, and ends with 0.
        """
        from orchestrator.core.explain import placement_view
        from orchestrator.offline import open_desk
        from orchestrator.settings import read_settings

        desk = open_desk(files, read_settings())
        for kind, given in (("ModelService", desk.services), ("Site", desk.sites)):
            if not given:
                raise Invalid(f"no {kind} in {', '.join(map(str, files))}; give the file that has it as well")
        value = placement_view(desk.plan())
        if locked:
            _hold_against(locked, desk, value, output)
        show(value, output, lambda: print_plan(value, all_rejections=why))
        if page:
            _write_page(page, desk, value)
        if lock or lock_file:
            say(write_lock(lock_file or files[0].with_name(LOCK), lock_of_desk(desk, value)))
        if not all(tier["placed"] for tier in value["tiers"]):
            raise typer.Exit(1)


def _hold_against(path: Path, desk: Desk, view: dict[str, Any], output: Output) -> None:
    """Raises Refused, after what differs was told, when the plan is not the one of the lock."""
    from cli.diff import print_difference

    value = verify_lock(path, lock_of_desk(desk, view))
    if not value["same"]:
        show(value, output, lambda: print_difference(value))
        raise Refused(f"{path} does not hold any more; look at what differs, then lock again with --lock")


def _write_page(path: Path, desk: Desk, view: dict[str, Any]) -> None:
    from orchestrator.adapters.plan_page import page_of

    services, world = desk.wanted()
    write_whole(path, page_of(view, services, world.sites, desk.catalog))
    say(f"wrote {path}")


NEAREST, ALTERNATIVES = 6, 2  # shown for each tier unless all are asked for


def print_plan(plan: dict[str, Any], *, all_rejections: bool = False) -> None:
    """Draw a plan for a person: a row for each group of replicas that are alike."""
    groups = [(tier, group) for tier in plan["tiers"] if tier["placed"] for group in tier["groups"]]
    if groups:
        columns = ("service", "tier", "model", "where", "how", "replicas", "cost")
        draw("Plan", columns, [_where(tier, group) for tier, group in groups])
        columns = (
            "service",
            "tier",
            "memory needed / usable",
            "first token",
            "per token, N at once",
            "requests/s",
            "demand/s",
        )
        draw("Per replica: memory and prediction (p10 - p90)", columns, [_numbers(*one) for one in groups])
    for tier in plan["tiers"]:
        _why(tier, all_rejections=all_rejections)
    for one in plan["escalations"]:
        typer.echo(escalation_line(one))
    if not any(tier["placed"] for tier in plan["tiers"]):
        typer.echo("Nothing placed.")
        return
    lacking = [_lacking(tier) for tier in plan["tiers"] if not tier["placed"] or tier["shortPerSecond"]]
    if lacking:
        typer.echo(f"Not everything fits: {', '.join(lacking)}.")
    if not any(group["pricePerHour"] for _, group in groups):
        typer.echo("No pool that is used has a price; give pools one, such as `price: 11.2/h`, to plan by cost.")
    moves = f", with {price_for_people(plan['movesPerHour'])} for moves" if plan["movesPerHour"] else ""
    gap = f"gap {plan['gap']:.1%}" + (f" ({plan['proof']})" if plan["proof"] else "")
    cost, bound = (price_for_people(plan[key]) for key in ("costPerHour", "lowerBoundPerHour"))
    typer.echo(f"Cost {cost}{moves}; proven lower bound {bound}; {gap}.")


def _lacking(tier: dict[str, Any]) -> str:
    """What a tier does not have."""
    name = f"{tier['service']}/{tier['tier']}"
    return f"{name} lacks {rate_for_people(tier['shortPerSecond'])}" if tier["placed"] else f"{name} has no place"


def escalation_line(one: dict[str, Any]) -> str:
    """How much of a service goes to the teacher, and whether that is what was wanted."""
    wanted = "" if one["share"] == one["wantedShare"] else f" instead of {100 * one['wantedShare']:.3g}%"
    quality = "" if one["quality"] is None else f", for {one['quality']:.1%} of the teacher's quality"
    if one["quality"] is not None and one["quality"] < one["target"]:
        quality += f"; {one['target']:.1%} is wanted"
    return f"{one['service']}: {100 * one['share']:.3g}% of requests go to the teacher{wanted}{quality}"


def _where(tier: dict[str, Any], group: dict[str, Any]) -> tuple[str, ...]:
    where = f"{group['site']}, pool {group['pool']}: {group['profile']}"
    size = f"{group['sequences']} x {group['contextTokens']} tokens"
    how = f"{group['engine']}, {group['quantization']}, {group['parallelism']}, {size}"
    cost = price_for_people(group["costPerHour"])
    return tier["service"], tier["tier"], group["model"], where, how, str(group["replicas"]), cost


def _numbers(tier: dict[str, Any], group: dict[str, Any]) -> tuple[str, ...]:
    memory, predicted = group["memory"], group["predicted"]
    needed = f"{bytes_for_people(memory['totalBytes'])} / {bytes_for_people(memory['usableBytes'])}"
    source = " (measured)" if memory["measured"] else ""
    per_chip = " per chip" if group["chips"] > 1 else ""
    rate = predicted["requestsPerSecond"]
    return (
        tier["service"],
        tier["tier"],
        needed + per_chip + source,
        _band(predicted["ttftSeconds"]),
        f"{_band(predicted['tpotSeconds'])}, {group['sequences']} at once",
        "{} ({} - {})".format(*(number_for_people(rate[key]) for key in ("p50", "p10", "p90"))),
        number_for_people(tier["demandPerSecond"])
        + (f", {number_for_people(tier['shortPerSecond'])} short" if tier["shortPerSecond"] else ""),
    )


def _band(band: dict[str, float]) -> str:
    return f"{time_for_people(band['p50'])} ({time_for_people(band['p10'])} - {time_for_people(band['p90'])})"


def _why(tier: dict[str, Any], *, all_rejections: bool) -> None:
    """What the plan rests on, what else would do, and what will not and why."""
    typer.echo(f"{tier['service']}/{tier['tier']}" + ("" if tier["placed"] else " has no place"))
    if tier["placed"]:
        _rests_on(tier)
    for other in tier.get("alternatives", [])[: None if all_rejections else ALTERNATIVES]:
        speed = time_for_people(other["predicted"]["singleStreamTpotSeconds"]["p50"])
        how = f"{other['site']}/{other['pool']} {other['quantization']} {other['parallelism']}"
        typer.echo(f"  also fits {how}: {price_for_people(other['pricePerHour'])} a replica, {speed} per token alone")
    if all_rejections and tier.get("moreAlternatives"):
        typer.echo(f"  and {tier['moreAlternatives']} more ways that fit")
    rejected = tier["rejected"]
    for no in rejected if all_rejections else rejected[:NEAREST]:
        hint = f"; {no['hint']}" if "hint" in no else ""
        typer.echo(f"  not {_subject(no['subject'], tier)} ({no['rule']}): needs {no['need']}, has {no['have']}{hint}")
    if not all_rejections and len(rejected) > NEAREST:
        typer.echo(f"  and {len(rejected) - NEAREST} more that do not fit; show them with --why")


def _rests_on(tier: dict[str, Any]) -> None:
    """Why it is there, what it gave up, and what that rests on."""
    groups = tier["groups"]
    places = " and ".join(dict.fromkeys(f"{group['site']}/{group['pool']}" for group in groups))
    typer.echo(f"  {f'on {places}' if places else 'nowhere'} because: {tier['why']}")
    together, apart = tier["demandPerSecond"] - tier["shortPerSecond"], sum(one["capacityPerSecond"] for one in groups)
    if tier["shortPerSecond"] and apart > together * (1 + NEARLY):
        typer.echo(f"  replicas that share a machine share its time: together they carry {rate_for_people(together)}")
    print_grounds(tier, {key: dict.fromkeys(one for group in groups for one in group[key]) for key in GROUNDS})
    if any(group["checkpoint"] for group in groups):
        typer.echo("  not started from here: `headwater render` writes its Kubernetes manifests")


NEARLY = 1e-3  # of a rate, beyond rounding
GROUNDS = {
    "unverified": "rests on numbers nobody verified",
    "atRisk": "met by the middle of the prediction only",
}


def print_grounds(tier: dict[str, Any], told: dict[str, Iterable[str]]) -> None:
    """What a placed tier gave up, what its licence asks, and what its numbers rest on."""
    for what in tier["gaveUp"]:
        typer.echo(f"  gave up: {what}")
    if tier["licence"]["duties"] or tier["licence"]["notes"]:
        typer.echo(f"  licence {licence_line(tier['licence'])}")
    for key, title in GROUNDS.items():
        if told[key]:
            typer.echo(f"  {title}: {', '.join(told[key])}")


def licence_line(licence: dict[str, Any]) -> str:
    """A licence with what it asks and what the yes rests on, in one line."""
    asked = "; ".join(f"{duty['text']} ({duty['kind']})" for duty in licence["duties"])
    agreed = ", accepted" if licence["accepted"] else ""
    return "; ".join([licence["spdx"] + agreed, *([f"it asks: {asked}"] if asked else []), *licence["notes"]])


def _subject(subject: str, tier: dict[str, Any]) -> str:
    """What was tried, without repeating whose line this is."""
    return subject.removeprefix(f"{tier['service']}/{tier['tier']}").strip() or "anywhere"
