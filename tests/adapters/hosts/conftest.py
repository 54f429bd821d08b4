"""Recorded outputs of vendors' tools, and a catalog of the chips they show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from chips import confusable_chips

from orchestrator.api.kinds import Catalog

RECORDED = Path(__file__).parent / "recorded"


@pytest.fixture
def recorded() -> Callable[[str], str]:
    """What a tool printed, without the first line, which says where it is from."""
    return lambda name: (RECORDED / f"{name}.txt").read_text().split("\n", 1)[1]


@pytest.fixture
def catalog() -> Catalog:
    return confusable_chips()
