"""`headwater verify` against small servers: numbers, verdict, exit code, rows, and every wrong option."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openai_server import Behaviour, Door, answers, refuses, serving
from typer.testing import CliRunner

from cli import control, verify_plan, verify_run
from cli.main import app
from orchestrator.adapters.load_test import drive as driving
from orchestrator.core.rows.row import COLUMNS
from orchestrator.settings import read_settings
from runtimes.errors import HeadwaterError, Invalid, Refused, Unavailable

PLAN = """
apiVersion: headwater.dev/v1alpha1
kind: ModelService
metadata: {name: a}
spec:
  student: {model: smollm2-135m-instruct, quantization: [int4], context: 1024, slo: {ttft: 10s}}
  demand: {rate: 20/s, input: 60, output: 12}
---
apiVersion: headwater.dev/v1alpha1
kind: Site
metadata: {name: here}
spec: {role: edge, region: cn, fleet: ray, pools: [{profile: local}]}
"""
Run = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def plan(tmp_path: Path, machine: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plan of a student on this machine, in a home of its own; the machine counts as quiet."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "machine.json").write_bytes(machine)
    monkeypatch.setenv("HEADWATER_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(verify_run, "_others", lambda _: 0.0)
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN)
    return path


def run(*options: object) -> tuple[int, dict[str, Any]]:
    """Exit code and answer for programs; errors raised on purpose come through."""
    done = CliRunner().invoke(app, ["verify", "a", *map(str, options), "-o", "json"])
    if isinstance(done.exception, HeadwaterError):
        raise done.exception
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, json.loads(done.stdout)


def against(behaviour: Behaviour, *options: object) -> tuple[int, dict[str, Any], Door]:
    with serving(behaviour) as door:
        return *run("--url", door.url, *options), door


@pytest.mark.usefixtures("plan")
def test_without_a_plan_numbers_are_measured() -> None:
    code, value, door = against(
        answers(first_s=0.05, each_s=0.01), "--concurrency", 3, "--requests", 9, "--output-tokens", 20
    )
    found = value["runs"][0]

    assert (code, value["verdict"], found["verdict"]) == (0, "measured", "measured")
    assert (found["load"], found["predicted"]) == ({"kind": "closed", "ratePerSecond": None, "atOnce": 3}, None)
    assert (found["measured"]["requests"], found["measured"]["answered"]) == (9, 9)
    assert found["measured"]["ttftSeconds"]["p50"] >= 0.05
    assert found["measured"]["tpotSeconds"]["mean"] >= 0.01
    assert found["measured"]["inputTokens"] == pytest.approx(256, rel=0.05)
    assert found["measured"]["outputTokens"] == 20
    assert {body["model"] for body in door.bodies} == {"a"}


@pytest.mark.parametrize(
    ("behaviour", "code", "verdict"),
    [
        pytest.param(answers(), 0, "better", id="a server faster than any machine"),
        pytest.param(answers(each_s=0.3, tokens=3), 1, "worse", id="one slower than any band"),
    ],
)
def test_a_plan_gives_load_lengths_bands_and_a_verdict(
    plan: Path, behaviour: Behaviour, code: int, verdict: str
) -> None:
    """Promise 4: a prediction carries a band, and measuring says how far off it was."""
    given, value, door = against(behaviour, "--file", plan, "--requests", 8)
    found = value["runs"][0]

    assert (given, value["verdict"]) == (code, verdict)
    assert found["load"]["kind"] == "open"
    assert 0 < found["load"]["ratePerSecond"] <= 20
    assert found["asked"] == {"inputTokens": 60, "outputTokens": 12}
    assert door.bodies[-1]["max_tokens"] == 12
    for one in found["comparisons"]:
        assert one["predicted"]["p10"] <= one["predicted"]["p50"] <= one["predicted"]["p90"]
    assert found["objectives"] == [{"metric": "time to first token", "atMostSeconds": 10.0, "met": 1.0}]


def test_the_service_on_this_machine_is_found_with_its_plan(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(answers()) as door:
        monkeypatch.setattr(control, "endpoint_port", lambda _: door.port)
        monkeypatch.setattr(verify_plan, "running", lambda *of: verify_plan.written(*of[:2], [plan], read_settings()))
        code, value = run("--requests", 6, "--rate", "50/s")

    assert (code, value["url"], value["tier"]) == (0, door.url, "student")


def test_a_sweep_runs_the_documented_points_and_adds_their_rows(plan: Path, tmp_path: Path) -> None:
    rows_file = tmp_path / "rows.csv"
    options = ("--file", plan, "--sweep", "--requests", 8, "--to", rows_file)
    _, value, _ = against(answers(), *options)
    rows = list(csv.DictReader(rows_file.read_text().splitlines()))

    assert [(one["asked"]["inputTokens"], one["load"]["atOnce"]) for one in value["runs"]] == [
        (60, 1), (60, 4), (60, 8), (240, 1), (240, 4), (240, 8)
    ]  # fmt: skip
    assert [(row["concurrency"], row["num_prompts"]) for row in rows] == [
        (str(size), str(8 + size)) for size in (1, 4, 8, 1, 4, 8)
    ]
    first = rows[0]
    assert (first["device"], first["model"], first["precision"]) == ("local", "smollm2-135m-instruct", "int4")
    assert (first["workload"], first["units"], first["nodes"]) == ("closed loop", "1", "1")
    assert float(first["out_tps_per_unit"]) == float(first["out_tps_total"]) > 0
    assert len({row["id"] for row in rows}) == 6

    against(answers(), "--concurrency", 2, "--requests", 6, "--to", rows_file)
    again = list(csv.DictReader(rows_file.read_text().splitlines()))
    assert again[:6] == rows
    assert (len(again), again[6]["device"], tuple(again[6])) == (7, "", COLUMNS)


@pytest.mark.usefixtures("plan")
def test_requests_that_fail_are_told_and_fail_the_run() -> None:
    async def half(door: Door, body: dict[str, Any], writer: Any) -> None:
        odd = len(door.bodies) > 6 and len(door.bodies) % 2
        await (refuses(429, "queue full") if odd else answers())(door, body, writer)

    code, value, _ = against(half, "--rate", "100/s", "--requests", 10, "--output-tokens", 4)
    found = value["runs"][0]

    assert (code, found["verdict"]) == (1, "failed")
    assert found["measured"]["failed"]["refused"] == found["measured"]["requests"] - found["measured"]["answered"] > 0
    assert any("queue full" in note for note in found["notes"])


@pytest.mark.usefixtures("plan")
def test_ctrl_c_prints_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    original = driving.drive

    def stopped(*given: Any, **options: Any) -> driving.Driven:
        driven = original(*given, **options)
        driven.interrupted = options.get("at_once") is not None
        return driven

    monkeypatch.setattr(driving, "drive", stopped)
    code, value, _ = against(answers(), "--concurrency", 1, "--requests", 6)

    assert code == 130
    assert value["runs"][0]["measured"]["answered"] == 6


@pytest.mark.usefixtures("plan")
def test_a_key_comes_from_the_environment_and_is_never_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-hidden")
    _, value, door = against(answers(), "--concurrency", 1, "--requests", 5, "--key-env", "MY_KEY", "--model", "m-7b")

    assert all("Authorization: Bearer sk-hidden" in head for head in door.headers)
    assert "sk-hidden" not in json.dumps(value)
    assert {body["model"] for body in door.bodies} == {"m-7b"}


@pytest.mark.usefixtures("plan")
@pytest.mark.parametrize(
    ("behaviour", "error", "said"),
    [
        pytest.param(refuses(503, "no replica is ready"), Unavailable, "no replica is ready", id="not ready"),
        pytest.param(refuses(404, "no such model"), Refused, "no such model", id="unknown model"),
    ],
)
def test_a_service_that_does_not_answer_says_why(behaviour: Behaviour, error: type[HeadwaterError], said: str) -> None:
    with pytest.raises(error, match=said):
        against(behaviour, "--concurrency", 1)


HERE = ("--url", "http://127.0.0.1:9/v1")


@pytest.mark.usefixtures("plan")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(("--url", "ftp://x/v1"), "is no endpoint", id="another scheme"),
        pytest.param(("--url", "http:///v1"), "is no endpoint", id="no host"),
        pytest.param(("--url", "http://[::1"), "is no endpoint", id="half an address"),
        pytest.param(("--url", "http://h:99999/v1"), "is no endpoint", id="no port"),
        pytest.param(("--url", "http://a b/v1"), "is no endpoint", id="a space"),
        pytest.param(("--url", "http://h\n/v1"), "is no endpoint", id="two lines"),
        pytest.param(("--url", "http://u:p@h/v1"), "--key-env", id="a password in the address"),
        pytest.param(("--model", "m"), "give its --url", id="a model without an endpoint"),
        pytest.param((*HERE,), "give --rate", id="no plan and no load"),
        pytest.param((*HERE, "--rate", "1/s", "--concurrency", "2"), "give one of them", id="both loops"),
        pytest.param((*HERE, "--rate", "1"), "has no unit", id="a rate without a unit"),
        pytest.param((*HERE, "--rate", "0/s"), "more than nothing", id="no rate"),
        pytest.param((*HERE, "--rate", "1000000/s"), "at most 10000/s", id="a rate that no client sends"),
        pytest.param((*HERE, "--duration", "0s", "--rate", "1/s"), "more than nothing", id="no time"),
        pytest.param((*HERE, "--duration", "9999999h", "--rate", "1/s"), "at most a day", id="a long time"),
        pytest.param((*HERE, "--timeout", "soon", "--rate", "1/s"), "--timeout", id="no duration"),
        pytest.param((*HERE, "--shared-prefix", "120%", "--rate", "1/s"), "at most 100%", id="more than all"),
        pytest.param((*HERE, "--shared-prefix", "half", "--rate", "1/s"), "--shared-prefix", id="no share"),
        pytest.param((*HERE, "--key-env", "NOT_SET", "--rate", "1/s"), "NOT_SET has no key", id="no key"),
        pytest.param((*HERE, "--sweep", "--rate", "1/s"), "own loads", id="a sweep with a rate"),
        pytest.param(("--duration", "nan"), "--duration: 'nan' is not a duration", id="nothing runs, no time"),
        pytest.param(("--duration", ""), "--duration: '' is not a duration", id="nothing runs, nothing written"),
        pytest.param(("--rate", "0/s"), "more than nothing", id="nothing runs, no rate"),
        pytest.param(("--rate", "1/s", "--concurrency", "3"), "give one of them", id="nothing runs, both loops"),
        pytest.param(("--shared-prefix", "120%"), "at most 100%", id="nothing runs, more than all"),
        pytest.param(("--timeout", "soon"), "--timeout", id="nothing runs, no duration"),
        pytest.param(("--sweep", "--concurrency", "3"), "own loads", id="nothing runs, a sweep with a load"),
    ],
)
def test_a_wrong_option_gets_one_sentence(options: tuple[str, ...], said: str) -> None:
    with pytest.raises(Invalid, match=said):
        run(*options)


def test_a_plan_must_have_the_service_and_the_tier(plan: Path) -> None:
    with pytest.raises(Invalid, match="has no teacher"):
        run(*HERE, "--file", plan, "--tier", "teacher")
    plan.write_text(PLAN.replace("{name: a}", "{name: assistant}"))
    with pytest.raises(Invalid, match="no service is named 'a'"):
        run(*HERE, "--file", plan)


def test_a_tier_without_a_place_has_nothing_to_compare_with(plan: Path) -> None:
    plan.write_text(PLAN.replace("role: edge", "role: cloud").replace("context: 1024", "where: {role: edge}"))
    with pytest.raises(Refused, match="no place for a/student"):
        run(*HERE, "--file", plan)


@pytest.mark.usefixtures("plan")
def test_a_file_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.csv"
    path.write_text("my,own,table\n1,2,3\n")
    with pytest.raises(Invalid, match="no file of measured rows"):
        run(*HERE, "--rate", "1/s", "--to", path)
    assert path.read_text() == "my,own,table\n1,2,3\n"


@pytest.mark.usefixtures("plan")
def test_people_get_a_table_beside_the_verdict() -> None:
    with serving(answers(first_s=0.02)) as door:
        options = ["--url", door.url, "--concurrency", "2", "--requests", "6", "--output-tokens", "5"]
        done = CliRunner().invoke(app, ["verify", "a", *options])

    assert done.exit_code == 0
    assert "2 at once" in done.stdout
    assert "6 of 6 answered" in done.stdout
    assert "time per output token" in done.stdout
    assert "verdict: measured" in done.stderr
