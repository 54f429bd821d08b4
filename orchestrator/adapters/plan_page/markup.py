"""HTML and SVG elements. Text is escaped because it is text: only what `tag` made goes through as it is."""

from __future__ import annotations

import html
from decimal import Decimal


class Markup(str):
    """What `tag` made, and nothing else."""

    __slots__ = ()


WHOLE, LARGE = 1000, 100  # from here on no digits after the point, or one

Child = str | Markup
VOID = frozenset(("br", "circle", "line", "link", "meta", "path", "polygon", "rect"))


def tag(name: str, /, *children: Child, **attributes: str | float | None) -> Markup:
    """One element.

    Args:
        name: of the element; from code, never from a plan.
        children: markup, or text that is escaped.
        attributes: underscores become hyphens, one at the end is dropped; None leaves the attribute out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(_text(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID and not children:
        return Markup(f"<{name}{written}/>")
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def join(children: tuple[Child, ...] | list[Child] | list[Markup]) -> Markup:
    """Several one after the other."""
    return Markup("".join(child if isinstance(child, Markup) else escaped(child) for child in children))


def escaped(text: str) -> str:
    """Text that is safe between tags and in quoted attributes; half characters become question marks."""
    return html.escape(text.encode("utf-8", "replace").decode(), quote=True)


def rate(per_s: float) -> str:
    """Requests per second for people: `0.125/s`, `16,800/s`."""
    return f"{_short(per_s)}/s"


def price(per_h: float) -> str:
    """What something costs, for people: `3.73/h`, `16,969/h`."""
    return f"{_short(per_h)}/h"


def _short(value: float) -> str:
    """Commas, no exponent, and no more than four digits below a thousand."""
    if value >= WHOLE:
        return f"{value:,.0f}"
    text = f"{Decimal(f'{value:.3g}'):f}" if value < 1 else f"{value:,.{1 if value >= LARGE else 2}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"
