"""A second `up` finds the node that runs, and does not pass over a wish that it does not meet."""

from __future__ import annotations

import pytest

from cli import up
from orchestrator import local
from runtimes.errors import Refused

RUNS = {"phase": "ready", "site": "here", "port": 8655}


@pytest.fixture(autouse=True)
def _runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "state", lambda _: RUNS)
    monkeypatch.setattr(local, "up", lambda *_: False)


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(("site", "port"), [("other", None), (None, 8700), ("here", 8700), ("other", 8655)])
def test_another_site_or_port_than_runs_is_refused(site: str | None, port: int | None, *, dry_run: bool) -> None:
    with pytest.raises(Refused, match=r"^it runs as site here on port 8655; `headwater down` first$"):
        up.start(site, port, dry_run=dry_run)


@pytest.mark.parametrize(("site", "port"), [(None, None), ("here", None), ("here", 8655)])
def test_what_runs_already_is_found(site: str | None, port: int | None, capsys: pytest.CaptureFixture[str]) -> None:
    assert up.start(site, port) is False
    assert capsys.readouterr().err == "runs already: site here, endpoint http://127.0.0.1:8655/v1\n"
