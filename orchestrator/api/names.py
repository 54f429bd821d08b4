"""Names that nearly mean something: the nearest of those there are. Pure; called wherever a name is looked up."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST = 4
CUTOFF = 0.6


def nearest_names(name: str, known: Iterable[str]) -> list[str]:
    """The known names that look alike, then those that contain what was written; at most four."""
    names, written = sorted(known), name.lower()[:80]
    near = difflib.get_close_matches(written, names, n=MOST - 1, cutoff=CUTOFF)
    return (near + [one for one in names if written and written in one.lower() and one not in near])[:MOST]
