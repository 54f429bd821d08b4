"""`headwater explain`: why a service is where it is, why not elsewhere, and what would change that."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.options import service_names
from cli.output import Output, OutputOption, draw, price_for_people, rate_for_people, say, show, time_for_people
from cli.plan import escalation_line, print_grounds
from orchestrator.errors import Invalid, Unavailable

QUIET_S = 1.0  # before progress is told
SHOWN = 4  # reasons of each rule that are printed


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(
        epilog="Examples: headwater explain assistant service.yaml sites.yaml; "
        "headwater explain assistant/teacher service.yaml; headwater explain assistant -o json"
    )
    def explain(
        name: Annotated[
            str, typer.Argument(help="A service, or SERVICE/student or SERVICE/teacher.", autocompletion=service_names)
        ],
        files: Annotated[
            list[Path] | None,
            typer.Argument(
                help="YAML files with services and sites; without them what the running controller keeps.",
                exists=True,
                dir_okay=False,
                show_default=False,
            ),
        ] = None,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Explain a plan: why here, why not there, what would help, other loads, and a site that goes away.

        Each "what if" is planned anew. Licences, duties and residency are never changed.
        """
        value = explained(name, files or [])
        show(value, output, lambda: print_explanation(value))
        if not all(tier["placed"] for tier in value["tiers"]):
            raise typer.Exit(1)


def explained(name: str, files: list[Path]) -> dict[str, Any]:
    """The explanation as plain values. Raises Invalid when nothing has that name."""
    from orchestrator.core.explain.answer import Question, answer
    from orchestrator.core.placement.place import place
    from orchestrator.core.world import TierName
    from orchestrator.offline import open_desk
    from orchestrator.settings import read_settings

    settings = read_settings()
    desk = open_desk(files, settings, () if files else _kept())
    services, world = desk.wanted()
    wanted, slash, tier = name.partition("/")
    service = next((one for one in services if one.metadata.name == wanted), None)
    if service is None:
        known = ", ".join(one.metadata.name for one in services) or "none"
        raise Invalid(f"no service is named {wanted}; there are: {known}")
    tiers = [one for one in ("student", "teacher") if getattr(service.spec, one) is not None]
    if slash and tier not in tiers:
        raise Invalid(f"{wanted} has no tier {tier!r}; it has: {', '.join(tiers)}")
    of: TierName | None = None if not slash else "student" if tier == "student" else "teacher"
    return answer(Question(service, of, services, desk.catalog, world), place, _Progress())


def _kept() -> tuple[Any, ...]:
    from cli.control import Control
    from orchestrator.settings import read_settings

    try:
        return Control(read_settings()).documents()
    except Unavailable as exc:
        raise Invalid(f"{exc}; or give the files to explain, such as `headwater explain NAME service.yaml`") from exc


class _Progress:
    """One line for each plan, once it takes long."""

    def __init__(self) -> None:
        self._started_s = time.monotonic()

    def __call__(self, number: int, total: int, what: str) -> None:
        if time.monotonic() - self._started_s > QUIET_S:
            say(f"planning {number} of {total}: {what}" if total else f"planning {what}")


def print_explanation(value: dict[str, Any]) -> None:
    """Draw an explanation for a person."""
    for tier in value["tiers"]:
        _print_tier(value["service"], tier)
    for one in value["escalations"]:
        typer.echo(escalation_line(one))
    for one in value["load"]:
        _print_then(f"At {one['factor']:g} times the demand", one)
    for one in value["without"]:
        _print_then(f"Without site {one['site']}", one)
    bound = f"proven lower bound {price_for_people(value['lowerBoundPerHour'])}; gap {value['gap']:.1%}"
    typer.echo(f"The whole plan costs {price_for_people(value['costPerHour'])}; {bound}.")


def _print_tier(service: str, tier: dict[str, Any]) -> None:
    name = f"{service}/{tier['tier']}"
    if tier["placed"]:
        _print_here(name, tier)
    else:
        typer.echo(f"{name} has no place")
    if tier["rejected"]:
        typer.echo("Why not elsewhere")
    for rule in tier["rejected"]:
        typer.echo(f"  {rule['rule']}: {rule['count']} way{'s' if rule['count'] > 1 else ''}")
        for reason in rule["reasons"][:SHOWN]:
            typer.echo(f"    {_reason(reason)}")
        if len(rule["reasons"]) > SHOWN:
            typer.echo(f"    and {len(rule['reasons']) - SHOWN} more kinds; --output json lists them")
    _print_help(tier)


def _reason(reason: dict[str, Any]) -> str:
    subjects = ", ".join(reason["subjects"][:2])
    more = f" and {reason['count'] - min(2, len(reason['subjects']))} more" if reason["count"] > 2 else ""  # noqa: PLR2004  two are named
    hint = f"; {reason['hint']}" if "hint" in reason else ""
    return f"needs {reason['need']}, has {reason['have']}: {subjects}{more}{hint}"


def _print_here(name: str, tier: dict[str, Any]) -> None:
    """The chosen groups above the ways that come next, with the numbers that decide."""
    typer.echo(f"{name}: {tier['why']}")
    wanted = tier["objectives"]
    columns = (
        "",
        "where",
        "how",
        "replicas",
        "cost",
        f"carries (of {rate_for_people(tier['demandPerSecond'])})",
        "first token" + (f" (<= {time_for_people(wanted['ttftSeconds'])})" if "ttftSeconds" in wanted else ""),
        "per token" + (f" (<= {time_for_people(wanted['tpotSeconds'])})" if "tpotSeconds" in wanted else ""),
    )
    draw("Why here", columns, [*map(_chosen, tier["groups"]), *map(_other, tier["next"])])
    if tier["more"]:
        typer.echo(f"  and {tier['more']} more kinds of ways that fit")
    print_grounds(tier, tier["restsOn"])
    for speed in tier["restsOn"]["speed"]:
        typer.echo(f"  {_speed(speed)}")


def _speed(speed: dict[str, Any]) -> str:
    """What the prediction rests on, in one line."""
    told = f"speed of {speed['engine']} on {speed['profile']}"
    if not speed["calibration"]:
        return f"{told}: nobody measured it, so its band is wide"
    seen = "measured there" if speed["measured"] else "measured elsewhere, so its band is wider"
    errors = ", ".join(f"{metric} off by {error:.0%}" for metric, error in speed["errors"].items())
    fit = f"{speed['rows']} rows, {errors} on average" if errors else f"{speed['rows']} rows"
    return f"{told}: {seen} (calibration {speed['calibration']}: {fit})"


def _chosen(group: dict[str, Any]) -> tuple[str, ...]:
    how = f"{group['engine']}, {group['quantization']}, {group['parallelism']}, {group['sequences']} at once"
    first, each = (group["predicted"][key]["p50"] for key in ("ttftSeconds", "tpotSeconds"))
    return (
        "chosen",
        _place(group),
        how,
        str(group["replicas"]),
        price_for_people(group["costPerHour"]),
        rate_for_people(group["capacityPerSecond"]),
        time_for_people(first),
        time_for_people(each),
    )


def _other(way: dict[str, Any]) -> tuple[str, ...]:
    others = way["otherPools"]
    further = f" and {others} more pool{'s' * (others > 1)}" if others else ""
    cost = "carries less" if way["costPerHour"] is None else price_for_people(way["costPerHour"])
    return (
        "next",
        _place(way) + further,
        f"{way['engine']}, {way['quantization']}, {way['parallelism']}, {way['sequences']} at once",
        "",
        cost,
        f"{rate_for_people(way['mostPerSecond'])} at most",
        time_for_people(way["ttftSeconds"]),
        time_for_people(way["tpotSeconds"]),
    )


def _place(way: dict[str, Any]) -> str:
    return f"{way['site']}/{way['pool']} {way['profile']}"


def _print_help(tier: dict[str, Any]) -> None:
    """What would place it, let it carry more or save, each planned anew."""
    if not tier["wouldHelp"]:
        wish = "be cheaper or carry more" if tier["placed"] else "find a place"
        typer.echo(f"No single wish given up would let it {wish} at no cost to what comes before it or with it.")
        return
    rows = [
        (one["change"], _gain(one), price_for_people(one["costPerHour"]), _ways(one["groups"]))
        for one in tier["wouldHelp"]
    ]
    draw("What would help", ("change", "gain", "whole plan", "then"), rows)
    for one in tier["wouldHelp"]:
        for other in one["givesWay"]:
            typer.echo(f"  {one['change']}: {other['service']}/{other['tier']} {other['what']}")


def _gain(one: dict[str, Any]) -> str:
    cost = _against(-one["savingPerHour"])
    if one["places"]:
        return f"finds a place, {cost}"
    return f"{rate_for_people(one['moreCarriedPerSecond'])} more, {cost}" if one["moreCarriedPerSecond"] else f"{cost}"


def _against(more_per_h: float) -> str:
    """A cost against that of the plan as it is."""
    if not more_per_h:
        return "as much as now"
    return f"{price_for_people(abs(more_per_h))} {'more' if more_per_h > 0 else 'less'}"


def _ways(groups: list[dict[str, Any]]) -> str:
    return "; ".join(
        f"{group['replicas']} x {_place(group)}, {group['quantization']}, {group['parallelism']}" for group in groups
    )


def _print_then(title: str, then: dict[str, Any]) -> None:
    typer.echo(
        f"{title} the whole plan costs {price_for_people(then['costPerHour'])}, {_against(then['moreCostPerHour'])}"
    )
    for tier in then["tiers"]:
        if not tier["placed"]:
            no = tier["rejected"][0] if tier["rejected"] else None
            why = f": {no['subject']} ({no['rule']}): needs {no['need']}, has {no['have']}" if no else ""
            typer.echo(f"  {tier['tier']} has no place{why}")
            continue
        short = f", {rate_for_people(tier['shortPerSecond'])} not carried" if tier["shortPerSecond"] else ""
        typer.echo(f"  {tier['tier']}: {_ways(tier['groups']) or 'no replica'}{short}")
    for other in then["givesWay"]:
        typer.echo(f"  {other['service']}/{other['tier']} {other['what']}")
