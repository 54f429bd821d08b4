"""The picture of a plan as SVG: edge sites on the left, the gateway between, cloud sites on the right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.adapters.plan_page.cells import Cells, Use, bar_of, cells_of, uses_of
from orchestrator.adapters.plan_page.markup import Markup, join, price, rate, tag
from orchestrator.api.kinds import Catalog
from orchestrator.api.site import Pool, Site

WIDTH, COLUMN, TOP = 1180, 400, 34
GATEWAY_LEFT, GATEWAY_WIDTH, GATEWAY_HEIGHT = 535, 110, 56
BOXES, POOLS = 6, 5  # drawn in each column, and in each box; the others are put together
GAP, INSIDE = 16, 14
CELL, STEP = 9, 11
BEND = 12
LINE = 16
COLOURS = ("#3b7ddd", "#e07b00", "#229954", "#c2357c", "#7b55c7", "#0093a7", "#b58900", "#d64545", "#6b8e23", "#8c6d5a")
OTHERS = "#8a8f98"
NAME_LETTERS = 34  # of a name in the picture; the tables have it whole


@dataclass(frozen=True, slots=True)
class Scene:
    """A plan and the world it is drawn in."""

    view: Mapping[str, Any]
    sites: Mapping[str, Site]
    catalog: Catalog
    colours: Mapping[str, str]  # by SERVICE/TIER
    uses: Mapping[tuple[str, int], Sequence[Use]] = field(default_factory=dict)


def colours_of(view: Mapping[str, Any]) -> dict[str, str]:
    """A colour of its own for the tiers that cost most; one for all others."""
    placed = sorted((tier for tier in view["tiers"] if tier["placed"]), key=lambda tier: -tier["costPerHour"])
    own = {f"{tier['service']}/{tier['tier']}": colour for tier, colour in zip(placed, COLOURS, strict=False)}
    return {f"{tier['service']}/{tier['tier']}": OTHERS for tier in placed} | own


def picture(view: Mapping[str, Any], sites: Mapping[str, Site], catalog: Catalog) -> Markup:
    """The whole picture."""
    scene = Scene(view, sites, catalog, colours_of(view), uses_of(view["tiers"]))
    drawn: list[Markup] = []
    lowest = 0.0
    for role, left in (("edge", 0.0), ("cloud", float(WIDTH - COLUMN))):
        title = "Edge sites, near the users" if role == "edge" else "Cloud sites"
        drawn.append(tag("text", title, x=left, y=16, class_="head"))
        top = float(TOP)
        for box in _column(scene, role):
            markup, height = box.draw(scene, left, top)
            drawn += [markup, *_arrow(scene, box, left, top, height)]
            top += height + GAP
        lowest = max(lowest, top)
    height = max(lowest, TOP + GATEWAY_HEIGHT + GAP)
    drawn.append(_gateway())
    arrow = tag("path", d="M0 0 L8 4 L0 8 z", class_="tip")
    marker = tag("marker", arrow, id="tip", markerWidth=8, markerHeight=8, refX=8, refY=4, orient="auto")
    described = tag("title", "Sites with their pools, and which tier uses which chips")
    return tag(
        "svg",
        described,
        tag("defs", marker),
        join(drawn),
        viewBox=f"0 0 {WIDTH} {height:.0f}",
        role="img",
        xmlns="http://www.w3.org/2000/svg",
    )


@dataclass(frozen=True, slots=True)
class _Box:
    """One site, or many that are put together."""

    sites: tuple[Site, ...]

    def draw(self, scene: Scene, left: float, top: float) -> tuple[Markup, float]:
        """The box and its height."""
        lines = _site_lines(self.sites[0]) if len(self.sites) == 1 else _many_lines(scene, self.sites)
        drawn = [
            tag("text", line, x=left + INSIDE, y=top + 20 + number * LINE, class_="name" if not number else "small")
            for number, line in enumerate(lines)
        ]
        y = top + 16 + len(lines) * LINE
        for label, cells in self._pools(scene):
            for line in (label, _scale(cells)):
                drawn.append(tag("text", line, x=left + INSIDE, y=y + 10, class_="small"))
                y += LINE - 2
            grid, height = _grid(cells, scene, left + INSIDE, y)
            drawn.append(grid)
            y += height + 8
        height = y - top + 4
        outline = tag("rect", x=left + 0.5, y=top, width=COLUMN - 1, height=height, rx=8, class_="site")
        return tag("g", outline, join(drawn)), height

    def _pools(self, scene: Scene) -> list[tuple[str, Cells]]:
        if len(self.sites) > 1:
            return [("all pools together", _together(scene, self.sites))]
        (site,) = self.sites
        shown: list[tuple[str, Cells]] = []
        for index, pool in list(enumerate(site.spec.pools))[:POOLS]:
            shared = _shared(pool, scene.catalog)
            cells = cells_of(pool, scene.uses.get((site.metadata.name, index), ()), shared=shared)
            shown.append((_pool_label(index, pool, shared=shared), cells))
        rest = site.spec.pools[POOLS:]
        if rest:
            counts: dict[str, int] = {}
            for index in range(POOLS, len(site.spec.pools)):
                _count(counts, scene, site, index)
            total = sum(pool.nodes * pool.chips for pool in rest)
            shown.append((f"{len(rest)} more pools, {total:,} chips", bar_of(counts, total)))
        return shown


def _column(scene: Scene, role: str) -> list[_Box]:
    """Boxes of one role: sites that are used most first, what does not fit in one box at the end."""
    ours = [site for site in scene.sites.values() if site.spec.role == role]
    ours.sort(key=lambda site: (-_taken(scene, site), site.metadata.name))
    if len(ours) <= BOXES:
        return [_Box((site,)) for site in ours]
    return [*(_Box((site,)) for site in ours[: BOXES - 1]), _Box(tuple(ours[BOXES - 1 :]))]


def _taken(scene: Scene, site: Site) -> int:
    counts: dict[str, int] = {}
    for index in range(len(site.spec.pools)):
        _count(counts, scene, site, index)
    return sum(counts.values())


def _count(counts: dict[str, int], scene: Scene, site: Site, index: int) -> None:
    """Add the chips of one pool by tier."""
    for use in scene.uses.get((site.metadata.name, index), ()):
        counts[use.tier] = counts.get(use.tier, 0) + use.replicas * use.nodes * use.chips_per_node


def _together(scene: Scene, sites: Sequence[Site]) -> Cells:
    counts: dict[str, int] = {}
    for site in sites:
        for index in range(len(site.spec.pools)):
            _count(counts, scene, site, index)
    return bar_of(counts, sum(pool.nodes * pool.chips for site in sites for pool in site.spec.pools))


def _shared(pool: Pool, catalog: Catalog) -> bool:
    profile = catalog.profiles.get(pool.profile)
    return profile is not None and profile.spec.kind == "cpu"


def _site_lines(site: Site) -> list[str]:
    link = site.spec.link
    way = f"round trip {link.rtt * 1000:.3g} ms" if link else "beside the gateway"
    return [cut(site.metadata.name), cut(f"{site.spec.region}, {way}", 60)]


def _many_lines(scene: Scene, sites: Sequence[Site]) -> list[str]:
    used = sum(1 for site in sites if _taken(scene, site))
    nodes = sum(pool.nodes for site in sites for pool in site.spec.pools)
    return [f"{len(sites):,} more sites", f"{nodes:,} nodes; {used:,} of these sites are used"]


def _pool_label(index: int, pool: Pool, *, shared: bool) -> str:
    what = (
        f"{pool.nodes:,} machine{'s' * (pool.nodes > 1)}"
        if shared
        else f"{pool.nodes:,} x {pool.chips} chip{'s' * (pool.chips > 1)}"
    )
    each = f", {price(pool.price)} each" if pool.price else ""
    return cut(f"pool {index}: {pool.profile}, {what}{each}", 66)


def _scale(cells: Cells) -> str:
    """How much is used, and what a cell stands for."""
    each = f"; a cell is {cells.chips_per_cell:,} of them" if cells.chips_per_cell > 1 else ""
    return f"{cells.used:,} of {cells.total:,} used{each}"


def _grid(cells: Cells, scene: Scene, left: float, top: float) -> tuple[Markup, float]:
    """The cells of a pool and their height."""
    width = COLUMN - 2 * INSIDE
    if cells.bar:
        across = width // STEP
        drawn = [
            _cell(tier, scene, left + number % across * STEP, top + number // across * STEP)
            for number, tier in enumerate(cells.bar)
        ]
        return join(drawn), float(-(-len(cells.bar) // across) * STEP)
    across = min(8, max(len(node) for node in cells.nodes))
    rows = max(-(-len(node) // across) for node in cells.nodes)
    node_width, node_height = across * STEP + 5, rows * STEP + 5
    per_line = max(1, width // (node_width + 4))
    drawn = []
    for number, node in enumerate(cells.nodes):
        x, y = left + number % per_line * (node_width + 4), top + number // per_line * (node_height + 4)
        drawn.append(tag("rect", x=x, y=y, width=node_width, height=node_height, rx=3, class_="node"))
        for chip, tier in enumerate(node):
            drawn.append(_cell(tier, scene, x + 3.5 + chip % across * STEP, y + 3.5 + chip // across * STEP))
    return join(drawn), float(-(-len(cells.nodes) // per_line) * (node_height + 4))


def _cell(tier: str, scene: Scene, x: float, y: float) -> Markup:
    if not tier:
        return tag("rect", x=x, y=y, width=CELL, height=CELL, class_="free")
    told = tag("title", tier)
    return tag("rect", told, x=x, y=y, width=CELL, height=CELL, fill=scene.colours.get(tier, OTHERS))


def _gateway() -> Markup:
    box = tag("rect", x=GATEWAY_LEFT, y=TOP, width=GATEWAY_WIDTH, height=GATEWAY_HEIGHT, rx=8, class_="gateway")
    middle = GATEWAY_LEFT + GATEWAY_WIDTH / 2
    name = tag("text", "gateway", x=middle, y=TOP + 25, class_="name", text_anchor="middle")
    under = tag("text", "requests come in", x=middle, y=TOP + 42, class_="small", text_anchor="middle")
    return tag("g", box, name, under)


def _arrow(scene: Scene, box: _Box, left: float, top: float, height: float) -> list[Markup]:
    """From the gateway to a box that serves something, with what goes there."""
    names = {site.metadata.name for site in box.sites}
    lines = flows(scene, names)
    if not lines:
        return []
    edge = left == 0
    start = float(GATEWAY_LEFT if edge else GATEWAY_LEFT + GATEWAY_WIDTH)
    bend = start - BEND if edge else start + BEND  # down beside the gateway, so that labels at the boxes stay free
    end = float(COLUMN + 2 if edge else WIDTH - COLUMN - 2)
    y, from_y = top + min(GATEWAY_HEIGHT / 2, height / 2), TOP + GATEWAY_HEIGHT / 2
    path = f"M{start:g} {from_y:g} H{bend:g} V{y:g} H{end:g}"
    drawn = [tag("path", d=path, class_="flow", marker_end="url(#tip)")]
    x = end + 6 if edge else end - 8
    anchor = "start" if edge else "end"
    for number, line in enumerate(lines):
        drawn.append(tag("text", line, x=x, y=y + 16 + number * 13, class_="small flowing", text_anchor=anchor))
    return drawn


def flows(scene: Scene, names: set[str]) -> list[str]:
    """What these sites carry: requests of the first tier of a service, and the share that is sent on.

    Where a tier carries less than is asked, the arrow says what all its places together leave undone.
    """
    first, onward, lacking, shares = 0.0, 0.0, 0.0, []
    wanted = {one["service"]: one["share"] for one in scene.view["escalations"]}
    for tier in scene.view["tiers"]:
        groups = tier.get("groups", ())
        capacity = sum(group["capacityPerSecond"] for group in groups)
        here = sum(group["capacityPerSecond"] for group in groups if group["site"] in names)
        if not capacity or not here:
            continue
        part = (tier["demandPerSecond"] - tier["shortPerSecond"]) * here / capacity
        lacking += tier["shortPerSecond"]
        if tier["tier"] == "teacher" and tier["service"] in wanted:
            onward += part
            shares.append(wanted[tier["service"]])
        else:
            first += part
    lines = [f"{rate(first)} of requests"] if first else []
    if shares:
        low, high = min(shares), max(shares)
        span = f"{low:.0%}" if low == high else f"{low:.0%} to {high:.0%}"
        lines += [f"{rate(onward)}, {span} escalated"]
    lines += [f"{rate(lacking)} more find no room"] if lacking else []
    trips = [site.spec.link.rtt for name in names if (site := scene.sites[name]).spec.link]
    return [*lines, f"round trip {min(trips) * 1000:.3g} ms"] if lines and trips else lines


def cut(text: str, letters: int = NAME_LETTERS) -> str:
    """A text that has room."""
    return text if len(text) <= letters else f"{text[: letters - 1]}…"
