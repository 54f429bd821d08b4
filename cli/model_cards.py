"""Model cards and lineages drawn for people; the values come from `orchestrator.core.model_view`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import typer

from cli.catalog import count_for_people, heading, listed, many, tokens_for_people
from cli.output import UNWATCHED_WIDTH, bytes_for_people, draw

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.tree import Tree


def print_models(rows: list[dict[str, Any]]) -> None:
    """Draw a list of models for a person."""
    columns = ("name", "total", "active", "context", "native", "licence", "weights in")
    draw(many(len(rows), "model"), columns, [_cells(row) for row in rows])
    if any(row["licence"]["status"] == "unverified" for row in rows):
        typer.echo("? nobody verified this licence")


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    unverified = " ?" if row["licence"]["status"] == "unverified" else ""
    return (
        row["name"],
        count_for_people(row["totalParameters"]),
        count_for_people(row["activeParameters"]) if row["activeParameters"] != row["totalParameters"] else "all",
        tokens_for_people(row["contextTokens"]),
        row["native"] or "unknown",
        row["licence"]["spdx"] + unverified,
        ", ".join(row["quantizations"]),
    )


def _native(quantization: str | None, form: str) -> str:
    """`int4-experts (compressed-tensors)`; without the format where it says nothing new."""
    return f"{quantization} ({form})" if quantization and form not in {quantization, "plain"} else quantization or ""


def print_model(value: dict[str, Any]) -> None:
    """Draw a card for a person."""
    kinds = f"{' and '.join(value['inputs'])} to {' and '.join(value['outputs'])}"
    heading(
        f"{value['name']}: {value['organisation']}, family {value['family']}",
        {
            "model": kinds + (", reasons before it answers" if value["reasoning"] else ""),
            "weights": value["source"] or value["hub"],
            "also": value["also"],
            "context": f"{value['contextTokens']:,} tokens" if value["contextTokens"] else "",
            "native": _native(value["native"], value["nativeFormat"]),
        },
    )
    listed("Architecture", value["inWords"])
    parts = ((part["name"], count_for_people(part["parameters"])) for part in value["components"])
    listed("Components", (f"{name}: {count}" for name, count in parts))
    _print_counts(value)
    if value["memory"]:
        _print_memory(value["memory"])
    listed(
        "Memory of published settings",
        (f"{one['setting']}: {bytes_for_people(one['bytes'])}" for one in value["footprints"]),
    )
    _print_licence(value["licence"])
    heading("", {name: [_kin(one) for one in value[name]] for name in ("base", "teachers", "students")})
    if value["releases"]:
        columns = ("quantization", "format", "checkpoint", "note")
        draw(
            "Releases",
            columns,
            [(one["quantization"], one["format"], one["name"], one["note"]) for one in value["releases"]],
        )
    typer.echo(f"Confidence in the dimensions: {value['confidence']}")
    listed("Nobody verified", value["unverified"])
    listed("Sources", value["sources"])


def _print_counts(value: dict[str, Any]) -> None:
    """Computed and published parameters side by side."""
    published = value["published"] or {}
    rows = []
    for which in ("total", "active"):
        computed, said = value[f"{which}Parameters"], published.get(which)
        if computed is None and said is None:
            continue
        counted = count_for_people(computed) if value["countedFrom"] != "published" else "not known"
        off = published.get(f"{which}Difference")
        rows.append(
            (which, counted, count_for_people(said) if said else "not stated", "" if off is None else f"{off:+.2%}")
        )
    if rows:
        draw("Parameters", ("", f"from {value['countedFrom']}", "published", "difference"), rows)
    heading("", {"published": published.get("note"), "published in": published.get("sources")})


def _print_memory(memory: dict[str, Any]) -> None:
    heading(
        "Memory",
        {
            "keys and values of a token": f"{memory['kvBytesPerToken']:,} bytes in 16 bits",
            "index of a token": f"{memory['indexBytesPerToken']:,} bytes" if memory["indexBytesPerToken"] else "",
            "state of a sequence": (
                bytes_for_people(memory["stateBytesPerSequence"]) if memory["stateBytesPerSequence"] else ""
            ),
            "weights": [f"{name} {bytes_for_people(size)}" for name, size in memory["weightBytes"].items()],
        },
    )


def _print_licence(licence: dict[str, Any]) -> None:
    may = {True: "yes", False: "no", None: "the text does not forbid it"}[licence["outputsMayTrain"]]
    heading(
        f"Licence: {licence['spdx']} ({licence['status']})",
        {
            "asks": "; ".join(f"{duty['text']} ({duty['kind']})" for duty in licence["duties"]),
            "not granted in": licence["excluded"],
            "answers may train other models": may,
            "note": licence["note"],
            "read in": licence["sources"],
        },
    )


def _kin(one: dict[str, Any]) -> str:
    return one["name"] if one["model"] in (None, one["name"]) else f"{one['name']} (here {one['model']})"


def print_trees(value: dict[str, Any]) -> None:
    """Draw lineages for a person."""
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    console = Console(width=None if sys.stdout.isatty() else UNWATCHED_WIDTH, highlight=False)
    for tree in value["trees"]:
        root = Tree(Text(_label(tree["name"], "", value["models"])))
        if tree.get("parents"):
            _grow(root.add(Text("came from")), tree["parents"], "parents", value["models"])
        below = root.add(Text("led to")) if tree.get("parents") and tree["children"] else root
        _grow(below, tree["children"], "children", value["models"])
        console.print(root)


def _grow(tree: Tree, branches: Iterable[dict[str, Any]], direction: str, rows: dict[str, Any]) -> None:
    from rich.text import Text

    for one in branches:
        relation = {"weights": "weights", "teacher": "distilled"}[one["relation"]]
        _grow(tree.add(Text(_label(one["name"], relation, rows))), one[direction], direction, rows)


def _label(name: str, relation: str, rows: dict[str, Any]) -> str:
    row = rows.get(name)
    about = [f"{count_for_people(row['totalParameters'])}, {row['licence']['spdx']}"] if row else ["not in the catalog"]
    return f"{name} ({', '.join([*([relation] if relation else []), *about])})"
