"""Values to tables, JSON or YAML, and messages to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import typer

UNWATCHED_WIDTH = 400  # no cell is cut in a file or a pipe
COLUMN_GAP, EDGES = 3, 2  # of the box that tables are drawn in
WHOLE, LARGE = 1000, 100  # from here on no digits after the point, or one


class Output(StrEnum):
    """How a command prints its answer."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class Form(StrEnum):
    """How a command prints documents, which no table can hold."""

    YAML = "yaml"
    JSON = "json"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="How to print the answer.")]
FormOption = Annotated[Form, typer.Option("--output", "-o", help="How to print the documents.")]


def show(value: Any, output: Output, table: Callable[[], None]) -> None:
    """Print a value for programs, or draw it for people."""
    if output is Output.TABLE:
        table()
    elif output is Output.JSON:
        print(json.dumps(value, indent=2))  # noqa: T201
    else:
        import yaml

        print(yaml.safe_dump(value, sort_keys=False), end="")  # noqa: T201


def tell(value: Any, output: Output) -> None:
    """Print a value for programs; people have been told on standard error already."""
    show(value, output, lambda: None)


def say(text: str) -> None:
    """Progress and notes, on standard error, so that standard output stays the answer."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def complain(text: str) -> None:
    """An error for a person."""
    say(f"error: {text}")


def draw(title: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """A table on standard output, as wide as the terminal, or as it needs when nobody watches.

    Words are never cut: where even the longest words of all columns have no room side by side, each row is a paragraph.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    names, cells = tuple(columns), [tuple(row) for row in rows]
    console = Console(width=None if sys.stdout.isatty() else UNWATCHED_WIDTH, highlight=False)
    widths = _widths([names, *cells], console.width)
    if widths is None:
        print("\n".join([title, *(_paragraph(names, row) for row in cells)]))  # noqa: T201
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, width in zip(names, widths, strict=True):
        table.add_column(name, width=width)
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    with console.capture() as drawn:
        console.print(table)
    lines = [line.rstrip() for line in drawn.get().splitlines()]
    print("\n".join([title, *(line for line in lines if line), ""]))  # noqa: T201


def _widths(rows: list[tuple[str, ...]], room: int) -> list[int] | None:
    """Width of each column, no less than its longest word; None when they have no room.

    What is left is shared evenly, and columns that want less get all they want: `16.2 GiB` stays on one line.
    """
    room -= COLUMN_GAP * (len(rows[0]) - 1) + EDGES
    columns = list(zip(*rows, strict=True))
    least = [max(len(word) for cell in column for word in [*cell.split(), ""]) for column in columns]
    most = [max(len(cell) for cell in column) for column in columns]
    spare, widths = room - sum(least), [*least]
    if spare < 0:
        return None
    for served, column in enumerate(sorted(range(len(least)), key=lambda one: most[one] - least[one])):
        more = min(most[column] - least[column], spare // (len(least) - served))
        widths[column] += more
        spare -= more
    return widths


def _paragraph(names: tuple[str, ...], row: tuple[str, ...]) -> str:
    """One row with a line for each cell that says something."""
    return "\n".join([*(f"  {name}: {cell}" for name, cell in zip(names, row, strict=True) if cell), ""])


def bytes_for_people(count: float) -> str:
    """`1.5 GiB`."""
    for unit, size in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1024:.0f} KiB"


def time_for_people(seconds: float) -> str:
    """`52 ms`, `1.3 s`."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def count(number: int, what: str) -> str:
    """`1 row`, `1,200 rows`."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def number_for_people(value: float) -> str:
    """`16,969`, `268.8`, `3.73`, `0.05`: commas, no exponent, and no more than four digits below a thousand."""
    if value >= WHOLE:
        return f"{value:,.0f}"
    text = f"{Decimal(f'{value:.3g}'):f}" if value < 1 else f"{value:,.{1 if value >= LARGE else 2}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def rate_for_people(per_s: float) -> str:
    """Requests per second: `1,234/s`, `4.14/s`, `0.05/s`."""
    return f"{number_for_people(per_s)}/s"


def price_for_people(per_h: float) -> str:
    """`16,969/h`, `22.4/h`, `3.73/h`."""
    return f"{number_for_people(per_h)}/h"
