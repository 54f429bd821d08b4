"""The page of a plan: one file, no network, no scripts, everything escaped, and small however large the fleet."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from plans import plan_alone
from worlds import a_catalog, a_pool, a_service, a_site, a_tier, a_world

from orchestrator.adapters.plan_page import page_of
from orchestrator.adapters.plan_page.cells import Use, bar_of, cells_of
from orchestrator.adapters.plan_page.markup import Markup, escaped, join, price, rate, tag
from orchestrator.adapters.plan_page.picture import Scene, flows
from orchestrator.api.service import Escalation, ModelService
from orchestrator.api.site import Pool, Site
from orchestrator.core.explain import placement_view
from orchestrator.core.placement.place import place

SERVICE = a_service(
    rate="4/s",
    student=a_tier(where={"role": "edge"}, slo={"tpot": "1s"}),
    teacher=a_tier(quantization=("bf16",), where={"role": "cloud"}),
    escalation={"target": 0.9, "budget": "25%"},
)
NOTHING = Escalation.model_validate({"target": 0.9, "budget": "0%"})
EDGE = a_site("lab")
CLOUD = a_site("zone", a_pool("npu", nodes=2, chips=8), role="cloud", link={"rtt": "18ms", "bandwidth": "1Gbps"})
VOID = {"meta", "link", "br"}


def a_page(*documents: ModelService | Site, **changes: Any) -> str:
    services = [one for one in documents if isinstance(one, ModelService)]
    sites = {one.metadata.name: one for one in documents if isinstance(one, Site)}
    view = placement_view(plan_alone(services, a_catalog(), a_world(*sites.values())))
    return page_of(view | changes, services, sites, a_catalog())


ESCALATED = [{"service": "chat", "share": 0.25, "quality": None, "wantedShare": 0.25, "target": None}]
PAGE = a_page(SERVICE, EDGE, CLOUD, escalations=ESCALATED)


class Elements(HTMLParser):
    """Tags with their attributes, and a check that they close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_page_is_well_formed_and_brings_everything_with_it() -> None:
    elements = Elements(PAGE)

    assert elements.open == []
    assert not {"script", "link", "img", "iframe"} & {name for name, _ in elements.found}
    assert not [key for _, attributes in elements.found for key in attributes if key in {"src", "href"}]
    assert not re.search(r"url\((?!#)|@import", PAGE)
    assert "default-src &#x27;none&#x27;" in PAGE


def test_a_page_is_the_same_every_time() -> None:
    assert a_page(CLOUD, SERVICE, EDGE, escalations=ESCALATED) == PAGE


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Headwater plan", id="a title"),
        pytest.param("prefers-color-scheme:dark", id="a dark dress"),
        pytest.param("chat/student", id="the student"),
        pytest.param("chat/teacher", id="the teacher"),
        pytest.param("Edge sites, near the users", id="where the left is"),
        pytest.param("One cell is a chip", id="a legend"),
        pytest.param("25% escalated", id="the escalated share at its arrow"),
        pytest.param("round trip 18 ms", id="the way to the site"),
        pytest.param("1 of 16 used", id="chips used"),
        pytest.param("proven lower bound", id="the bound"),
        pytest.param("Here because: the only way that fits", id="a reason"),
        pytest.param("Why not elsewhere: 1 way does not fit", id="rejections"),
        pytest.param("needs edge, has cloud: zone", id="with numbers"),
        pytest.param("at most 1.00 s", id="the objective"),
    ],
)
def test_a_stranger_finds(text: str) -> None:
    assert text in PAGE


def test_an_arrow_is_labelled_with_what_is_carried_and_with_what_finds_no_room() -> None:
    groups = [{"site": "lab", "capacityPerSecond": 3.0}, {"site": "zone", "capacityPerSecond": 1.14}]
    rates = {"demandPerSecond": 1e6, "shortPerSecond": 999_995.86}
    view = {"tiers": [{"service": "chat", "tier": "student", "groups": groups} | rates], "escalations": []}
    scene = Scene(view, {"lab": EDGE, "zone": CLOUD}, a_catalog(), {})

    assert flows(scene, {"lab"}) == ["3/s of requests", "999,996/s more find no room"]
    assert flows(scene, {"zone"}) == ["1.14/s of requests", "999,996/s more find no room", "round trip 18 ms"]


def renamed(site: Site, name: str) -> Site:
    """With a name that no document may have."""
    return site.model_copy(update={"metadata": site.metadata.model_copy(update={"name": name})})


def hostile(value: Any, text: str) -> Any:
    """Every text of a view that is no word of ours replaced."""
    if isinstance(value, dict):
        return {key: inner if key in {"tier", "role"} else hostile(inner, text) for key, inner in value.items()}
    if isinstance(value, list):
        return [hostile(inner, text) for inner in value]
    return text if isinstance(value, str) else value


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("<script>alert(1)</script>", id="a script"),
        pytest.param('"><img src=x onerror=alert(1)>', id="an end of an attribute"),
        pytest.param("'><svg/onload=alert(1)>", id="another quote"),
        pytest.param("</title></style></svg><iframe src=//x>", id="ends of elements"),
        pytest.param("]]><!--", id="a comment"),
        pytest.param("\ud800\u202e\x00", id="half a character"),
    ],
)
def test_names_that_attack_are_text(text: str) -> None:
    """Promise 9, for the page."""
    view = hostile(placement_view(plan_alone([SERVICE], a_catalog(), a_world(EDGE, CLOUD))), text)
    sites = {name: renamed(site, name) for name, site in ((text, EDGE), (f"{text}2", CLOUD))}
    page = page_of(view, [SERVICE], sites, a_catalog())
    plain = Elements(PAGE)
    attacked = Elements(page)

    page.encode()
    assert {name for name, _ in attacked.found} <= {name for name, _ in plain.found}
    assert not [key for _, attributes in attacked.found for key in attributes if key.startswith("on")]


def test_the_picture_is_valid_svg() -> None:
    (first, *_) = re.findall(r"<svg.*?</svg>", PAGE, re.DOTALL)

    cells = [one for one in ET.fromstring(first).iter("{http://www.w3.org/2000/svg}rect") if one.get("fill")]
    assert len(cells) == 2


def test_a_plan_without_anything_says_so() -> None:
    view = placement_view(plan_alone([], a_catalog(), a_world()))
    page = page_of(view, [], {}, a_catalog())

    assert "Nothing is asked for, so nothing is placed." in page
    assert Elements(page).open == []


def test_a_tier_without_a_place_is_told_first_with_what_binds() -> None:
    page = a_page(SERVICE, EDGE)

    assert "Not everything fits" in page
    assert "chat/teacher has no place: lab (place): needs cloud, has edge" in page
    assert page.index("Not everything fits") < page.index("<svg")


def test_ten_thousand_nodes_and_three_hundred_services_stay_below_a_megabyte() -> None:
    sites = [a_site(f"edge-{n:03d}", a_pool("box", nodes=50)) for n in range(100)]
    sites += [a_site(f"cloud-{n}", a_pool("npu", nodes=1000, chips=8), role="cloud") for n in range(5)]
    view = placement_view(plan_alone([SERVICE], a_catalog(), a_world(*sites)))
    tiers = [tier | {"service": f"chat-{n:03d}"} for n in range(300) for tier in view["tiers"]]
    page = page_of(view | {"tiers": tiers}, [SERVICE], {site.metadata.name: site for site in sites}, a_catalog())

    assert len(page.encode()) < 1_000_000
    assert "590 other tiers" in page
    assert "95 more sites" in page
    assert Elements(page).open == []


@pytest.mark.parametrize(
    ("pool", "uses", "shared", "nodes"),
    [
        pytest.param(a_pool("npu", nodes=2, chips=2), [Use("a", 1, 1, 2)], False, (("a", "a"), ("", "")), id="one"),
        pytest.param(
            a_pool("npu", nodes=2, chips=2),
            [Use("a", 1, 1, 1), Use("b", 1, 1, 2)],
            False,
            (("b", "b"), ("a", "")),
            id="the largest first",
        ),
        pytest.param(
            a_pool("npu", nodes=2, chips=2), [Use("a", 1, 2, 2)], False, (("a", "a"), ("a", "a")), id="over two nodes"
        ),
        pytest.param(
            a_pool(nodes=2), [Use("a", 2, 1, 1), Use("b", 1, 1, 1)], True, (("a", "b"), ("a",)), id="shared machines"
        ),
        pytest.param(a_pool(nodes=2), [], True, (("",), ("",)), id="machines nobody uses"),
    ],
)
def test_chips_are_dealt_to_nodes(
    pool: dict[str, Any], uses: list[Use], *, shared: bool, nodes: tuple[tuple[str, ...], ...]
) -> None:
    assert cells_of(Pool.model_validate(pool), uses, shared=shared).nodes == nodes


@pytest.mark.parametrize(
    ("counts", "total", "bar"),
    [
        pytest.param({"a": 3, "b": 1}, 6, "aaab..", id="to scale"),
        pytest.param({}, 3, "...", id="free"),
        pytest.param({"a": 1}, 990, "a" + 98 * ".", id="little is still seen"),
        pytest.param({f"{n:03d}": 1 for n in range(100)}, 990, 10 * "x" + 89 * ".", id="many small ones stay to scale"),
        pytest.param({"a": 1980}, 990, 99 * "a", id="no more than there is"),
    ],
)
def test_a_large_pool_is_a_bar_to_scale(counts: dict[str, int], total: int, bar: str) -> None:
    cells = bar_of(counts, total).bar

    assert "".join("x" if len(cell) > 1 else cell or "." for cell in cells) == bar


def test_only_what_is_made_as_markup_is_markup() -> None:
    inner = tag("b", "<i>", title='"')

    assert inner == '<b title="&quot;">&lt;i&gt;</b>'
    assert tag("p", inner, "&") == f"<p>{inner}&amp;</p>"
    assert join([Markup("<br/>"), "<br/>"]) == "<br/>&lt;br/&gt;"
    assert escaped("\ud800") == "?"
    assert [rate(one) for one in (1e-7, 0.125, 4.1449, 999.96, 16800.4)] == [
        "0.0000001/s", "0.125/s", "4.14/s", "1,000/s", "16,800/s"
    ]  # fmt: skip
    assert [price(one) for one in (0, 3.73333, 22.4, 268.8, 16968.96)] == [
        "0/h", "3.73/h", "22.4/h", "268.8/h", "16,969/h"
    ]  # fmt: skip


def test_a_tier_without_replicas_is_on_the_page_with_the_reason() -> None:
    nothing = SERVICE.model_copy(update={"spec": SERVICE.spec.model_copy(update={"escalation": NOTHING})})
    sites = {one.metadata.name: one for one in (EDGE, CLOUD)}
    view = placement_view(place([nothing], a_catalog(), a_world(*sites.values())))

    page = page_of(view, [nothing], sites, a_catalog())

    assert Elements(page).open == []
    assert view["tiers"][1]["groups"] == []
    assert "no request comes to it, so it needs no replica" in page
