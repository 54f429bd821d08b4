"""Territories: countries by their two lower-case ISO letters, and `eu` for all its members; which overlap.

Pure. A region starts with its territory: `cn-east`, `de-frankfurt`, `eu-west`, `gb-london`. Called by
`orchestrator.api.model` and `orchestrator.api.service` when documents are read, and by `orchestrator.core.policy`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator

EU = "eu"
_MEMBERS = "at be bg cy cz de dk ee es fi fr gr hr hu ie it lt lu lv mt nl pl pt ro se si sk"
ALSO = {"uk": "gb", "el": "gr"}  # what people write, and the ISO letters
_COUNTRIES = """
    ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bl bm bn bo bq br bs bt bv bw by bz
    ca cc cd cf cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg eh er es et fi fj fk fm fo fr
    ga gb gd ge gf gg gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il im in io iq ir is it je jm jo jp
    ke kg kh ki km kn kp kr kw ky kz la lb lc li lk lr ls lt lu lv ly ma mc md me mf mg mh mk ml mm mn mo mp mq mr ms mt
    mu mv mw mx my mz na nc ne nf ng ni nl no np nr nu nz om pa pe pf pg ph pk pl pm pn pr ps pt pw py qa re ro rs ru rw
    sa sb sc sd se sg sh si sj sk sl sm sn so sr ss st sv sx sy sz tc td tf tg th tj tk tl tm tn to tr tt tv tw tz
    ua ug um us uy uz va vc ve vg vi vn vu wf ws ye yt za zm zw
"""
MEMBERS, COUNTRIES = frozenset(_MEMBERS.split()), frozenset(_COUNTRIES.split())


def territory_of(region: str) -> str | None:
    """The territory a region starts with; None when its first word names none."""
    first = region.lower().partition("-")[0]
    first = ALSO.get(first, first)
    return first if first == EU or first in COUNTRIES else None


def overlap(territory: str, others: Iterable[str]) -> tuple[str, ...]:
    """Those of the others that share ground with a territory; a member shares the ground of the whole union."""
    return tuple(sorted(other for other in others if _share(territory, other)))


def _share(one: str, other: str) -> bool:
    return one == other or (EU in (one, other) and bool(MEMBERS & {one, other}))


def _checked(text: str) -> str:
    found = territory_of(text) if "-" not in text and text == text.lower() else None
    if found is None:
        small = text.lower()[:64]
        meant = f", such as {small}" if territory_of(small) and "-" not in small else ", such as cn"
        raise ValueError(f"{text[:64]!r} is no territory; write eu, or the two lower-case letters of a country{meant}")
    return found


Territory = Annotated[str, AfterValidator(_checked)]
"""`eu` or a country; `uk` is read as `gb`."""
