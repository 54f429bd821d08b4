"""Counts a pod may ask for, the next that would do, and under which name."""

from __future__ import annotations

from typing import Any

import pytest
from worlds import a_cluster, a_pool

from orchestrator.api.cluster import KubernetesProfile
from orchestrator.api.site import Pool
from orchestrator.core.allocation import accepted_counts, check_count, resource_of

BOX16 = {"labels": {"type": "box16"}, "counts": [1, 2, 10, 16]}


def pool(chips: int = 8, **fields: Any) -> Pool:
    return Pool.model_validate(a_pool("npu", chips=chips) | fields)


@pytest.mark.parametrize(
    ("cluster", "where", "counts"),
    [
        pytest.param(None, pool(3), (1, 2, 3), id="nothing known about the platform"),
        pytest.param(a_cluster(), pool(3), (1, 2, 3), id="a platform that takes any count"),
        pytest.param(a_cluster(counts=[8, 1, 4, 2]), pool(), (1, 2, 4, 8), id="the counts it says"),
        pytest.param(a_cluster(counts=[1, 2, 4, 8]), pool(4), (1, 2, 4), id="no more than a node has"),
        pytest.param(a_cluster(node_kinds=[BOX16]), pool(16, labels={"type": "box16", "x": "y"}), (1, 2, 10, 16),
                     id="another kind of node, by its labels"),
        pytest.param(a_cluster(node_kinds=[BOX16]), pool(2), (1, 2), id="labels of no such kind"),
        pytest.param(a_cluster(), pool(slice="8GiB"), (1,), id="slices of one chip"),
        pytest.param(a_cluster(sharing={"multi_card": True}), pool(2, slice="8GiB"), (1, 2), id="slices of several"),
    ],
)  # fmt: skip
def test_a_pod_may_ask_for(cluster: KubernetesProfile | None, where: Pool, counts: tuple[int, ...]) -> None:
    assert accepted_counts(cluster, where) == counts


def test_an_accepted_count_passes() -> None:
    assert check_count(a_cluster(counts=[1, 2, 4, 8]), pool(), 4, "it") is None


@pytest.mark.parametrize(
    ("cluster", "where", "chips", "says"),
    [
        pytest.param(
            a_cluster(counts=[1, 2, 4, 8], numa_group=4), pool(), 3,
            "it: count (needs 3 chips in a pod, has 1, 2, 4, 8 on a node of 8); "
            "take 4; fewer than 8 must stay inside one half of 4",
            id="the next one up",
        ),
        pytest.param(
            a_cluster(unit="die", counts=[1, 2]), pool(2), 4,
            "it: count (needs 4 dies in a pod, has 1, 2 on a node of 2); take 2, or more nodes", id="none above",
        ),
        pytest.param(
            a_cluster(), pool(slice="8GiB"), 2,
            "it: count (needs 2 chips in a pod, has 1 on a node of 8); "
            "slices of several chips do not work together; take whole chips",
            id="slices",
        ),
    ],
)  # fmt: skip
def test_another_count_is_refused(cluster: KubernetesProfile, where: Pool, chips: int, says: str) -> None:
    """Promise 2."""
    assert str(check_count(cluster, where, chips, "it")) == says


def test_the_nodes_say_what_the_resource_is_called() -> None:
    names = [{"plugin": "hami", "name": "lab/memory", "counts": "memory"}, {"plugin": "lab", "name": "lab/npu"}]
    cluster = a_cluster(resources=names)

    assert resource_of(cluster, pool()) == "lab/npu"
    assert resource_of(cluster, pool(resource="lab/renamed")) == "lab/renamed"
    assert resource_of(a_cluster(resources=[]), pool()) is None
