"""What the commands that show the catalog share: reading it, filters by name, and lines for people."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runtimes.errors import Invalid

if TYPE_CHECKING:
    from orchestrator.api.kinds import Catalog, Document

DocumentOption = Annotated[
    bool, typer.Option("--document", help="Print the document itself as YAML, to start your own from.")
]
UNKNOWN = "unknown"
LARGE = {"T": 10**12, "B": 10**9, "M": 10**6, "K": 10**3}
_COUNT = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)([TBMK]?)")


def read_all() -> Catalog:
    """The shipped catalog, the user's own and this machine."""
    from orchestrator import wiring
    from orchestrator.settings import read_settings

    return wiring.catalog(read_settings())


def print_document(document: Document) -> None:
    """The document as people write it, without what goes without saying."""
    import yaml

    written = document.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    typer.echo(yaml.safe_dump(written, sort_keys=False, allow_unicode=True, width=120), nl=False)


def alike(wanted: str | None, known: Iterable[str], what: str) -> frozenset[str]:
    """The known values that a filter means: the same but for case, else those that contain it; all without a filter.

    Raises Invalid with the nearest values when it means none.
    """
    values = frozenset(known)
    if wanted is None:
        return values
    folded = wanted.casefold().strip()
    found = frozenset(value for value in values if value.casefold() == folded)
    found = found or frozenset(value for value in values if folded and folded in value.casefold())
    if not found:
        from orchestrator.lookup import did_you_mean

        raise Invalid(f"no {what} is like {wanted[:80]!r}{did_you_mean(wanted, values)}")
    return found


def whole_count(written: str | None, option: str) -> int | None:
    """`8B` is 8,000,000,000. Raises Invalid for what is no count."""
    if written is None:
        return None
    match = _COUNT.fullmatch(written.strip().upper())
    if match is None:
        raise Invalid(f"{option} {written[:40]!r} is no count; write one such as 8B, 135M or 1T")
    return int(float(match[1]) * LARGE.get(match[2], 1))


def count_for_people(count: int | None) -> str:
    """`671.0B`, `134.5M`."""
    if count is None:
        return UNKNOWN
    letter, size = next(((one, size) for one, size in LARGE.items() if count >= size), ("", 1))
    return f"{count / size:.1f}{letter}" if letter else str(count)


def many(count: int, what: str) -> str:
    """`1 model`, `79 models`."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def tokens_for_people(tokens: int | None) -> str:
    """`160K` is 163,840, `1M` is 1,048,576."""
    if tokens is None:
        return UNKNOWN
    unit, size = ("M", 1 << 20) if tokens % (1 << 20) == 0 else ("K", 1 << 10)
    return f"{tokens // size}{unit}" if tokens % size == 0 else f"{tokens:,}"


def heading(text: str, parts: Mapping[str, Any]) -> None:
    """A line, and below it each part that says something."""
    lines = [f"  {name}: {_in_one_line(value)}" for name, value in parts.items() if value not in (None, "", [], {})]
    if text or lines:
        typer.echo("\n".join([*([text] if text else []), *lines]))


def _in_one_line(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_in_one_line(each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_in_one_line(each) for each in value)
    return str(value)


def listed(title: str, texts: Iterable[str]) -> None:
    """A title with a line for each text; nothing when there is none."""
    lines = [f"  {text}" for text in texts]
    if lines:
        typer.echo("\n".join([title, *lines]))
