"""Which replicas the gateway may use for each service: those of its front tier. Pure.

READY and SILENT replicas are routed; a replica that is to be stopped in the same pass is not. A service keeps its route
while it has no replica, so that the gateway can say "not ready" instead of "unknown".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from orchestrator.core.lifecycle import SERVING
from runtimes.contract import ReplicaReport, Route, RouteTable, Upstream


def routes(fronts: Mapping[str, str], replicas: Iterable[ReplicaReport], leaving: Collection[str]) -> RouteTable:
    """The whole table, services and replicas in order of name.

    Args:
        fronts: the tier that answers, by service.
        replicas: ours, in any phase.
        leaving: names of replicas that are stopped in the same pass.
    """
    usable: dict[str, list[Upstream]] = {name: [] for name in fronts}
    for replica in sorted(replicas, key=lambda r: r.spec.name):
        serves = replica.phase in SERVING and replica.url and replica.spec.name not in leaving
        if serves and fronts.get(replica.spec.service) == replica.spec.tier:
            usable[replica.spec.service].append(Upstream(name=replica.spec.name, url=replica.url))
    return RouteTable(routes=tuple(Route(service=name, upstreams=tuple(usable[name])) for name in sorted(usable)))
