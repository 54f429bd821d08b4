"""Names of rendered objects."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.adapters.kubernetes.naming import LONGEST, SERVICE_SUFFIX, object_name
from orchestrator.core.world import PoolId, TierName

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", fullmatch=True)


def test_a_plain_name_stays_readable() -> None:
    assert object_name("assistant", "teacher", PoolId("wuxi-cloud", 0)) == "assistant-teacher-wuxi-cloud-0"


@given(NAMES, NAMES, st.integers(0, 99))
def test_every_name_is_one_kubernetes_takes(service: str, site: str, index: int) -> None:
    name = object_name(service, "teacher", PoolId(site, index))

    assert re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", name)
    assert len(name) <= LONGEST
    assert len(name + SERVICE_SUFFIX) <= 63


WORDS = st.lists(st.sampled_from(["a", "b", "0", "teacher", "student", "a.b", "long" * 10]), min_size=1, max_size=3)
SUBJECTS = st.tuples(
    WORDS.map("-".join), st.sampled_from(["teacher", "student"]), WORDS.map("-".join), st.integers(0, 2)
)


@given(st.lists(SUBJECTS, unique=True, max_size=40))
def test_two_groups_never_share_a_name(subjects: list[tuple[str, TierName, str, int]]) -> None:
    names = {object_name(service, tier, PoolId(site, index)) for service, tier, site, index in subjects}

    assert len(names) == len(subjects)
