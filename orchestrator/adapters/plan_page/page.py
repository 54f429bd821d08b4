"""One HTML page of a plan: no network, no scripts, light and dark; everything in it is escaped.

Called by `headwater plan --page`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.adapters.plan_page.markup import Markup, join, price, rate, tag
from orchestrator.adapters.plan_page.picture import COLOURS, OTHERS, colours_of, picture
from orchestrator.adapters.plan_page.tables import (
    cost_bar,
    memory_table,
    predictions_table,
    reasons_of,
    rows_of,
    shown_of,
    swatch,
    tiers_table,
)
from orchestrator.api.kinds import Catalog
from orchestrator.api.service import ModelService
from orchestrator.api.site import Site

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
UNPLACED = 10  # tiers without a place that are named at the top
STYLE = """
:root{color-scheme:light dark;--bg:#fff;--fg:#1c2128;--soft:#5c6570;--line:#d5dae0;--box:#f5f7f9;--free:#dfe4e9;
--band:#9cc3f5;--mid:#1b5fc1;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--bg:#14181d;--fg:#e6e9ed;--soft:#9aa4af;--line:#39424c;--box:#1c2228;
--free:#333c46;--band:#33557f;--mid:#8fbcff;--bad:#ff8a80}}
body{background:var(--bg);color:var(--fg);font:15px/1.45 system-ui,sans-serif}
body{margin:0 auto;padding:24px;max-width:1240px}
h1{font-size:24px;margin:0 0 4px}h2{font-size:18px;margin:32px 0 8px}h3{font-size:15px;margin:18px 0 4px}
p{margin:4px 0}ul{margin:4px 0;padding-left:20px}.note,.small{color:var(--soft);font-size:13px}
.cards{display:flex;flex-wrap:wrap;gap:12px;margin:16px 0}
.card{background:var(--box);border:1px solid var(--line);border-radius:8px;padding:8px 16px}
.card b{display:block;font-size:20px}.bad{color:var(--bad)}
.alarm{border:2px solid var(--bad);border-radius:8px;padding:8px 16px;margin:16px 0}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:13px}
th,td{text-align:left;vertical-align:top;padding:6px 10px;border-bottom:1px solid var(--line)}
th{color:var(--soft);font-weight:600}th,.who{white-space:nowrap}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;margin:8px 0;font-size:13px}
.swatch{display:inline-block;width:11px;height:11px;border-radius:2px;margin-right:6px}
details{margin:4px 0 4px 20px;font-size:13px}summary{cursor:pointer}
svg{width:100%;height:auto;display:block}svg.bar{max-width:780px;min-width:180px}
svg text{fill:var(--fg);font:13px system-ui,sans-serif}svg text.small{fill:var(--soft);font-size:11px}
svg text.name{font-weight:600}svg text.head{font-weight:600;font-size:14px}
.site{fill:var(--box);stroke:var(--line)}.gateway{fill:var(--box);stroke:var(--mid);stroke-width:1.5}
.node{fill:none;stroke:var(--line)}.free{fill:var(--free)}
.flowing{paint-order:stroke;stroke:var(--bg);stroke-width:4px}
.flow{fill:none;stroke:var(--mid);stroke-width:1.5;stroke-linejoin:round}.tip{fill:var(--mid)}
.axis{stroke:var(--line)}.band{fill:var(--band)}.middle{fill:var(--mid)}.most{stroke:var(--bad);stroke-width:2}
.cost{fill:var(--mid)}.bound{fill:var(--band)}
.weights{fill:#3b7ddd}.cache{fill:#e07b00}.activations{fill:#229954}.buffers{fill:#7b55c7}.engine{fill:#8a8f98}
"""


def page_of(
    view: Mapping[str, Any], services: Iterable[ModelService], sites: Mapping[str, Site], catalog: Catalog
) -> str:
    """The page as text.

    Args:
        view: what `orchestrator.core.explain.view.placement_view` says of the plan.
        services: what was asked for.
        sites: what there is, by name.
        catalog: says which chips are whole machines.
    """
    colours, asked = colours_of(view), {one.metadata.name: one for one in services}
    rows, note = shown_of(rows_of(view))
    title = "Headwater plan"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Markup(STYLE)),
    )
    parts = [
        tag("h1", title),
        tag("p", "Which model runs where, how fast it will be, what it costs, and why.", class_="note"),
        _cards(view, sites),
        _alarm(view),
        tag("h2", "Sites and pools"),
        _legend(colours),
        picture(view, sites, catalog),
        *_escalations(view),
    ]
    if rows:
        parts += [
            tag("h2", "Tiers"),
            note,
            tiers_table(rows, colours),
            tag("h2", "Predictions"),
            tag("p", _BANDS, class_="note"),
            predictions_table(rows, colours, asked),
            tag("h2", "Memory"),
            tag("p", _MEMORY, class_="note"),
            memory_table(rows, colours),
            tag("h2", "Cost"),
            tag("p", _proof(view), class_="note"),
            cost_bar(view),
        ]
    parts += [tag("h2", "Reasons"), reasons_of(view["tiers"], colours)]
    return f"<!doctype html>\n{tag('html', head, tag('body', join(parts)), lang='en')}\n"


_BANDS = (
    "Of one replica. The bar reaches from the 10th to the 90th percentile, the mark is the middle, the red line the "
    "objective. First token: a prompt of the declared length, no queue, the way there and back included. Per token and "
    "requests: all sequences busy."
)
_MEMORY = (
    "Blue: weights; orange: cache of keys and values; green: activations; purple: buffers; grey: the engine. The red "
    "line is what can be used of a chip."
)


def _proof(view: Mapping[str, Any]) -> str:
    moves = f", {price(view['movesPerHour'])} of it for starting and stopping" if view["movesPerHour"] else ""
    how = f" ({view['proof']})" if view["proof"] else ""
    return f"No plan that carries as much can cost less than the lower bound{how}. The gap is {view['gap']:.1%}{moves}."


def _cards(view: Mapping[str, Any], sites: Mapping[str, Site]) -> Markup:
    placed = [tier for tier in view["tiers"] if tier["placed"]]
    used = {group["site"] for tier in placed for group in tier["groups"]}
    cards = (
        (price(view["costPerHour"]), "cost"),
        (price(view["lowerBoundPerHour"]), "proven lower bound"),
        (f"{view['gap']:.1%}", "gap"),
        (f"{len(placed):,} of {len(view['tiers']):,}", "tiers placed"),
        (f"{sum(tier['replicas'] for tier in placed):,}", "replicas"),
        (f"{len(used):,} of {len(sites):,}", "sites used"),
    )
    return tag("div", join([tag("div", tag("b", value), name, class_="card") for value, name in cards]), class_="cards")


def _alarm(view: Mapping[str, Any]) -> Markup:
    """What a reader must not miss: tiers without a place and demand that is not carried."""
    told = []
    for tier in view["tiers"]:
        name = f"{tier['service']}/{tier['tier']}"
        if not tier["placed"]:
            no = next(iter(tier["rejected"]), None)
            why = f": {no['subject']} ({no['rule']}): needs {no['need']}, has {no['have']}" if no else ""
            told.append(f"{name} has no place{why}")
        elif tier["shortPerSecond"]:
            told.append(f"{name} carries {rate(tier['shortPerSecond'])} less than {rate(tier['demandPerSecond'])}")
    if not told:
        return Markup("") if view["tiers"] else tag("p", "Nothing is asked for, so nothing is placed.", class_="alarm")
    lines = [tag("li", line) for line in told[:UNPLACED]]
    lines += [tag("li", f"and {len(told) - UNPLACED:,} more")] if len(told) > UNPLACED else []
    return tag("div", tag("strong", "Not everything fits", class_="bad"), tag("ul", join(lines)), class_="alarm")


def _legend(colours: Mapping[str, str]) -> Markup:
    own = [(name, colour) for name, colour in colours.items() if colour != OTHERS][: len(COLOURS)]
    names = [tag("span", swatch(colour), name) for name, colour in own]
    others = len(colours) - len(own)
    names += [tag("span", swatch(OTHERS), f"{others:,} other tiers")] if others else []
    free = tag("span", tag("span", class_="swatch", style="background:var(--free)"), "free")
    words = "One cell is a chip, or a machine that replicas share; a frame is a node. Large pools are drawn to scale."
    return join([tag("div", join([*names, free]), class_="legend"), tag("p", words, class_="note")])


def _escalations(view: Mapping[str, Any]) -> list[Markup]:
    lines = []
    for one in view["escalations"][:UNPLACED]:
        quality = "" if one["quality"] is None else f", for {one['quality']:.1%} of the teacher's quality"
        wanted = "" if one["share"] == one["wantedShare"] else f" instead of {100 * one['wantedShare']:.3g}%"
        if one["quality"] is not None and one["quality"] < one["target"]:
            quality += f"; {one['target']:.1%} is wanted"
        lines.append(
            tag("li", f"{one['service']}: {100 * one['share']:.3g}% of requests go on to the teacher{wanted}{quality}")
        )
    return [tag("ul", join(lines))] if lines else []
