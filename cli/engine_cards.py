"""Engines drawn for people; the values come from `orchestrator.core.engine_view`."""

from __future__ import annotations

from typing import Any

import typer

from cli.catalog import heading, listed, many
from cli.output import draw

UNVERIFIED = "?"
SHOWN_CHIPS = 4


def print_engines(rows: list[dict[str, Any]]) -> None:
    """Draw a list of engines for a person."""
    columns = ("name", "program", "chips", "computes in", "reads", "started from here", "predicted")
    draw(many(len(rows), "engine"), columns, [_cells(row) for row in rows])


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    chips, more = row["chips"][:SHOWN_CHIPS], len(row["chips"]) - SHOWN_CHIPS
    return (
        row["name"],
        row["program"],
        ", ".join(chips) + (f" and {more} more" if more > 0 else ""),
        ", ".join(row["dtypes"]),
        ", ".join(row["quantizations"]),
        "yes" if row["recipe"] else "no",
        "yes" if row["predicted"] else "no",
    )


def print_engine(value: dict[str, Any]) -> None:
    """Draw an engine for a person."""
    heading(
        f"{value['name']}: {value['program']}",
        {
            "started": f"by recipe {value['recipe']}" if value["recipe"] else "not from here yet",
            "chips": value["chips"] or "none of the catalog",
            "computes in": value["dtypes"],
            "keeps its cache also in": value["cache"],
            "image": value["image"],
            "published images": value["images"],
            "flags": value["flags"],
            "environment": value["environment"],
            "listens to": value["variables"],
            "versions": value["versions"],
            "note": value["note"],
        },
    )
    print_reads(value["reads"], value["refuses"])
    if value["calibrations"]:
        listed("Measured, as calibrations", value["calibrations"])
    else:
        typer.echo("Speed: nobody measured it, so its band is wide")
    listed("Sources", value["sources"])


def print_reads(reads: list[dict[str, Any]], refuses: list[dict[str, Any]]) -> None:
    """Draw what an engine reads and refuses."""
    if reads:
        draw(
            "  reads", ("quantization", "format", "flag", "only for", "status", "note"), [_reads(one) for one in reads]
        )
    else:
        typer.echo("  reads nothing that the catalog knows")
    for one in refuses:
        what = " in ".join(part for part in (one["quantization"], one["format"]) if part)
        on = f" on {', '.join(one['chips'])}" if one["chips"] else ""
        typer.echo(f"  refuses {what}{on}: {one['why']}")


def _reads(one: dict[str, Any]) -> tuple[str, ...]:
    only = [*([f"models that are {one['only']}"] if one["only"] == "dense" else []), *one["chips"]]
    if one["only"] == "experts":
        only.insert(0, "models with experts")
    return one["quantization"], one["format"], one["flag"], ", ".join(only), one["status"], one["note"]
