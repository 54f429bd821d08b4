"""What is left on the nodes of each pool beside a whole plan. Pure; called by `place` beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from orchestrator.api.kinds import Catalog
from orchestrator.core.configurations import Option
from orchestrator.core.placement.problem import shares_machines, takes
from orchestrator.core.placement.result import Group
from orchestrator.core.world import PoolId, World


@dataclass(slots=True)
class Room:
    """Nodes with what is free on them: chips of accelerators, bytes of CPU machines."""

    catalog: Catalog
    world: World
    free: dict[PoolId, list[int]] = field(default_factory=dict)
    taken: dict[str, list[tuple[PoolId, int, int]]] = field(default_factory=dict)  # by tier: pool, node, how much
    _counts: dict[PoolId, Counter[int]] = field(default_factory=dict)

    def settle(self, groups: Mapping[str, Iterable[Group]]) -> None:
        """Give every replica its nodes: the largest first, each on the fullest node that has room."""
        every = [(name, group) for name, of_tier in sorted(groups.items()) for group in of_tier]
        parts = [(name, group, *take) for name, group in every for take in takes(group.option, self.catalog)]
        for name, group, span, each in sorted(parts, key=lambda part: -part[3]):
            pool = group.option.configuration.pool
            nodes = self.free.setdefault(pool, self._empty(group.option))
            for _ in range(group.replicas * span):
                fitting = (index for index, free in enumerate(nodes) if free >= each)
                node = min(fitting, key=lambda index: (nodes[index], index), default=None)
                if node is not None:
                    nodes[node] -= each
                    self.taken.setdefault(name, []).append((pool, node, each))

    def left_for(self, name: str, option: Option) -> int:
        """How many replicas of the option find room beside everything but the tier of this name."""
        counts = self._beside(name, option)
        needs = takes(option, self.catalog)
        if len(needs) == 1 and needs[0][0] == 1:
            return sum(nodes * (free // needs[0][1]) for free, nodes in counts.items() if free > 0)
        largest = max(each for _, each in needs)
        return sum(nodes for free, nodes in counts.items() if free >= largest) // sum(span for span, _ in needs)

    def _beside(self, name: str, option: Option) -> Counter[int]:
        pool = option.configuration.pool
        if pool not in self._counts:
            self._counts[pool] = Counter(self.free.get(pool) or self._empty(option))
        own = Counter[int]()
        for where, node, each in self.taken.get(name, ()):
            if where == pool:
                own[node] += each
        counts = self._counts[pool]
        if own:
            counts = Counter(counts)
            for node, given in own.items():
                counts[self.free[pool][node]] -= 1
                counts[self.free[pool][node] + given] += 1
        return counts

    def _empty(self, option: Option) -> list[int]:
        pool_id = option.configuration.pool
        pool = self.world.sites[pool_id.site].spec.pools[pool_id.index]
        return [option.usable_bytes if shares_machines(option, self.catalog) else pool.chips] * pool.nodes
