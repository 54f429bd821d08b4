"""The tables of a plan's page: tiers, predictions with bands, memory, cost against bound, reasons and rejections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from orchestrator.adapters.plan_page.markup import Child, Markup, join, price, rate, tag
from orchestrator.api.service import ModelService
from orchestrator.core.explain.reasons import grouped

ROWS = 60  # of a table; a page of a thousand tiers has the dearest, and says so
REASONS, OTHERS = 4, 3  # shown of each rule, and of ways that fit too
BAR, BAR_HEIGHT = 180, 14
KINDS = (
    ("weightsBytes", "weights"),
    ("kvCacheBytes", "cache"),
    ("activationsBytes", "activations"),
    ("buffersBytes", "buffers"),
    ("engineBytes", "engine"),
)

Row = tuple[Mapping[str, Any], Mapping[str, Any]]  # a tier and one of its groups


def rows_of(view: Mapping[str, Any]) -> list[Row]:
    """All groups with their tiers, in the order of the plan."""
    return [(tier, group) for tier in view["tiers"] for group in tier.get("groups", ())]


def shown_of(rows: Sequence[Row]) -> tuple[list[Row], Markup]:
    """The rows that have room, dearest first where there are too many, and what is said of the others."""
    if len(rows) <= ROWS:
        return list(rows), Markup("")
    dearest = sorted(rows, key=lambda row: (-row[1]["costPerHour"], row[0]["service"], row[0]["tier"]))[:ROWS]
    note = f"The {ROWS} that cost most of {len(rows):,}; headwater plan --output json has all."
    return dearest, tag("p", note, class_="note")


def tiers_table(rows: Sequence[Row], colours: Mapping[str, str]) -> Markup:
    """Who runs where, how, and for how much."""
    columns = ("tier", "model", "where", "how", "replicas", "cost", "carries", "must carry")
    return _table(columns, [[*_named(row, colours), *_where(*row)] for row in rows])


def predictions_table(rows: Sequence[Row], colours: Mapping[str, str], services: Mapping[str, ModelService]) -> Markup:
    """First token, time per token and requests, each with its band and the objective."""
    columns = ("tier", "where", "time to first token", "time per further token", "requests of one replica")
    return _table(columns, [_predicted(row, colours, services) for row in rows])


def memory_table(rows: Sequence[Row], colours: Mapping[str, str]) -> Markup:
    """What fills the fullest chip."""
    return _table(
        ("tier", "where", "memory of the fullest chip", "needed / usable"), [_memory(r, colours) for r in rows]
    )


def cost_bar(view: Mapping[str, Any]) -> Markup:
    """Cost beside the proven lower bound."""
    whole, bound = view["costPerHour"] + view["movesPerHour"], view["lowerBoundPerHour"]
    scale = 560 / (max(whole, bound) or 1)
    y = (4, 30)
    return tag(
        "svg",
        tag("title", "Cost and lower bound"),
        tag("rect", x=0, y=y[0], width=max(1.0, whole * scale), height=18, rx=3, class_="cost"),
        tag("rect", x=0, y=y[1], width=max(1.0, bound * scale), height=18, rx=3, class_="bound"),
        tag("text", f"cost {price(whole)}", x=max(8.0, whole * scale + 8), y=y[0] + 14, class_="small"),
        tag("text", f"proven lower bound {price(bound)}", x=max(8.0, bound * scale + 8), y=y[1] + 14, class_="small"),
        viewBox="0 0 780 54",
        class_="bar",
        role="img",
    )


def reasons_of(tiers: Sequence[Mapping[str, Any]], colours: Mapping[str, str]) -> Markup:
    """Of every tier why it is there, what it gave up and rests on, and why not elsewhere."""
    first = sorted(tiers, key=lambda tier: (tier["placed"], -tier.get("costPerHour", 0.0)))
    shown = list(tiers) if len(tiers) <= ROWS else first[:ROWS]
    note = f"{len(tiers) - len(shown):,} more tiers are in headwater plan --output json."
    return join([*(_reasons(tier, colours) for tier in shown), *([tag("p", note)] if len(shown) < len(tiers) else [])])


def swatch(colour: str | None) -> Markup:
    """The colour of a tier in the picture."""
    return tag("span", class_="swatch", style=f"background:{colour}") if colour else Markup("")


def _table(columns: Iterable[str], rows: Iterable[Sequence[Child]]) -> Markup:
    head = tag("tr", join([tag("th", column, scope="col") for column in columns]))
    body = [tag("tr", join([tag("td", cell) for cell in row])) for row in rows]
    return tag("div", tag("table", tag("thead", head), tag("tbody", join(body))), class_="wide")


def _named(row: Row, colours: Mapping[str, str]) -> list[Child]:
    name = f"{row[0]['service']}/{row[0]['tier']}"
    return [tag("span", swatch(colours.get(name)), name, class_="who")]


def _place(group: Mapping[str, Any]) -> str:
    return f"{group['site']}, pool {group['pool']}: {group['profile']}"


def _where(tier: Mapping[str, Any], group: Mapping[str, Any]) -> list[Child]:
    how = f"{group['engine']}, {group['quantization']}, {group['parallelism']}, {group['sequences']} at once"
    short = tier["shortPerSecond"]
    demand = rate(tier["demandPerSecond"])
    carried = join([demand, " ", tag("strong", f"{rate(short)} short", class_="bad")]) if short else demand
    carries = rate(group["capacityPerSecond"])
    cost = price(group["costPerHour"])
    return [group["model"], _place(group), how, str(group["replicas"]), cost, carries, carried]


def _predicted(row: Row, colours: Mapping[str, str], services: Mapping[str, ModelService]) -> list[Child]:
    tier, group = row
    spec = services[tier["service"]].spec if tier["service"] in services else None
    asked = spec and (spec.student if tier["tier"] == "student" else spec.teacher)
    slo = (asked.slo.ttft, asked.slo.tpot) if asked else (None, None)
    p = group["predicted"]
    return [
        *_named(row, colours),
        _place(group),
        _band(p["ttftSeconds"], slo[0], _time),
        _band(p["tpotSeconds"], slo[1], _time),
        _band(p["requestsPerSecond"], None, rate),
    ]


def _band(band: Mapping[str, float], most: float | None, text: Any) -> Markup:
    """The band as a bar with its middle, and the objective as a line."""
    scale = (BAR - 4) / (max(band["p90"], most or 0.0) * 1.05 or 1.0)
    low, mid, high = (band[point] * scale for point in ("p10", "p50", "p90"))
    drawn = [
        tag("line", x1=0, x2=BAR, y1=BAR_HEIGHT / 2, y2=BAR_HEIGHT / 2, class_="axis"),
        tag("rect", x=low, y=3, width=max(2.0, high - low), height=BAR_HEIGHT - 6, rx=2, class_="band"),
        tag("rect", x=max(0.0, mid - 1.5), y=1, width=3, height=BAR_HEIGHT - 2, class_="middle"),
    ]
    told = f"{text(band['p50'])} ({text(band['p10'])} - {text(band['p90'])})"
    if most is not None:
        drawn.append(tag("line", x1=most * scale, x2=most * scale, y1=0, y2=BAR_HEIGHT, class_="most"))
        told += f", at most {text(most)}"
    svg = tag("svg", tag("title", told), join(drawn), viewBox=f"0 0 {BAR} {BAR_HEIGHT}", class_="bar", role="img")
    return join([svg, tag("div", told, class_="small")])


def _memory(row: Row, colours: Mapping[str, str]) -> list[Child]:
    group = row[1]
    m, usable = group["memory"], group["memory"]["usableBytes"]
    scale, x = BAR * 1.6 / (max(usable, m["totalBytes"]) or 1), 0.0
    drawn = []
    for key, words in KINDS:
        if m[key]:
            told = tag("title", f"{words} {_bytes(m[key])}")
            drawn.append(tag("rect", told, x=x, y=1, width=m[key] * scale, height=BAR_HEIGHT - 2, class_=words))
            x += m[key] * scale
    drawn.append(tag("line", x1=usable * scale, x2=usable * scale, y1=0, y2=BAR_HEIGHT, class_="most"))
    bar = tag("svg", join(drawn), viewBox=f"0 0 {BAR * 1.6:g} {BAR_HEIGHT}", class_="bar", role="img")
    parts = ", ".join(f"{words} {_bytes(m[key])}" for key, words in KINDS if m[key])
    needed = f"{_bytes(m['totalBytes'])} / {_bytes(usable)}" + (" (measured)" if m["measured"] else "")
    return [*_named(row, colours), _place(group), join([bar, tag("div", parts, class_="small")]), needed]


def _reasons(tier: Mapping[str, Any], colours: Mapping[str, str]) -> Markup:
    name = f"{tier['service']}/{tier['tier']}"
    lines: list[Child] = []
    if tier["placed"]:
        lines.append(f"Here because: {tier['why']}")
        lines += [f"Gave up: {what}" for what in tier["gaveUp"]]
        for title, key in (
            ("Rests on numbers nobody verified", "unverified"),
            ("Met by the middle of the prediction only", "atRisk"),
        ):
            told = sorted({text for group in tier["groups"] for text in group[key]})
            lines += [f"{title}: {', '.join(told)}"] if told else []
        lines += [_fits(other) for other in tier["alternatives"][:OTHERS]]
    else:
        lines.append(tag("strong", "has no place", class_="bad"))
    title = tag("h3", swatch(colours.get(name)), name)
    return tag("section", title, tag("ul", join([tag("li", line) for line in lines])), _folded(tier))


def _fits(other: Mapping[str, Any]) -> str:
    where = f"{other['site']}, pool {other['pool']}: {other['profile']}"
    how = f"{other['quantization']}, {other['parallelism']}"
    return f"Also fits: {where}, {how} for {price(other['pricePerHour'])} a replica"


def _folded(tier: Mapping[str, Any]) -> Markup:
    """Rejections by rule, folded; open where nothing fits."""
    if not tier["rejected"]:
        return Markup("")
    parts: list[Markup] = []
    for rule in grouped(tier["rejected"]):
        noes = [tag("li", _no(reason)) for reason in rule["reasons"][:REASONS]]
        left = len(rule["reasons"]) - REASONS
        noes += [tag("li", f"and {left:,} more")] if left > 0 else []
        parts.append(tag("li", f"{rule['rule']} ({rule['count']:,})", tag("ul", join(noes))))
    count = len(tier["rejected"])
    summary = tag("summary", f"Why not elsewhere: {count:,} way{'s do' if count > 1 else ' does'} not fit")
    return tag("details", summary, tag("ul", join(parts)), open=None if tier["placed"] else "open")


def _no(reason: Mapping[str, Any]) -> str:
    more = f" and {reason['count'] - 1:,} more" if reason["count"] > 1 else ""
    hint = f"; {reason['hint']}" if "hint" in reason else ""
    return f"needs {reason['need']}, has {reason['have']}: {reason['subjects'][0]}{more}{hint}"


def _bytes(count: float) -> str:
    unit, size = ("GiB", 1 << 30) if count >= 1 << 30 else ("MiB", 1 << 20)
    return f"{count / size:.1f} {unit}"


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"
