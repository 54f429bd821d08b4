"""Names and labels of rendered objects, derived from what they are for, so that a retry finds its own work.

Pure. Used by `render` and `pods` beside this file.
"""

from __future__ import annotations

import hashlib
import re
from typing import get_args

from orchestrator.core.world import PoolId, TierName

LONGEST = 45  # of 63: controllers append ordinals and a revision hash, and our service a suffix
SERVICE_SUFFIX = "-api"  # LeaderWorkerSet takes the bare name for its own headless service
ROLE = "headwater.dev/role"
RAY_LONGEST = 30
_HASH = 8


def object_name(service: str, tier: TierName, pool: PoolId, part: int = 0, role: str = "") -> str:
    """One name for a tier of a service in a pool: letters, digits and dashes, a letter first, at most `LONGEST`.

    A hash keeps names apart where the plain one is too long, has a dot, is of a further part (a second configuration of
    the tier in the pool), or could be read in two ways because a part of it is called like a tier. A role, such as
    prefill, stands at the end.
    """
    plain = f"{service}-{tier}-{pool.site}-{pool.index}"
    longest = LONGEST - (len(role) + 1 if role else 0)
    after = f"-{role}" if role else ""
    clear = not {*service.split("-"), *pool.site.split("-")} & {*get_args(TierName)}
    allowed = re.sub(r"[^a-z0-9-]", "-", plain)
    allowed = allowed if allowed[0].isalpha() else f"s{allowed}"
    if clear and allowed == plain and len(plain) <= longest and not part:
        return plain + after
    named = f"{service}/{tier}/{pool}" + (f"/{part}" if part else "")
    digest = hashlib.sha256(named.encode()).hexdigest()[:_HASH]
    return f"{allowed[: longest - _HASH - 1].rstrip('-')}-{digest}{after}"


def ray_name(site: str) -> str:
    """One name for the Ray cluster of a site; KubeRay appends the names of groups and a hash."""
    plain = re.sub(r"[^a-z0-9-]", "-", f"ray-{site}")
    if plain == f"ray-{site}" and len(plain) <= RAY_LONGEST:
        return plain
    digest = hashlib.sha256(site.encode()).hexdigest()[:_HASH]
    return f"{plain[: RAY_LONGEST - _HASH - 1].rstrip('-')}-{digest}"


def selector(name: str) -> dict[str, str]:
    """Labels that pick exactly the pods of one rendered group; they never change during its life."""
    return {"app.kubernetes.io/instance": name, "app.kubernetes.io/managed-by": "headwater"}


def labels(name: str, *, service: str, tier: TierName, pool: PoolId, engine: str) -> dict[str, str]:
    """Labels of every object of the group."""
    return {
        "app.kubernetes.io/component": tier,
        "app.kubernetes.io/name": engine,
        "app.kubernetes.io/part-of": "headwater",
        "headwater.dev/pool": str(pool.index),
        "headwater.dev/service": service,
        "headwater.dev/site": pool.site,
        "headwater.dev/tier": tier,
    } | selector(name)
