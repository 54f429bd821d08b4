"""This machine as a profile: what is detected is bounded by what may be used, and measurements are kept safely."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import psutil
import pytest

from orchestrator.adapters.machine import Measured, detect, instructions, look, memory_limit, processor_limit


class Meter:
    """Counts how often it is asked to measure."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, threads: int) -> Measured:
        self.calls += 1
        assert threads == look().cores
        return Measured(bandwidth=50e9, peak_fp32=150e9)


def test_the_profile_states_what_was_measured_and_how(tmp_path: Path) -> None:
    profile = detect(tmp_path / "machine.json", Meter())

    assert profile.metadata.name == "local"
    assert profile.spec.engines == ("edge",)
    assert (profile.spec.bandwidth.value, profile.spec.peaks["fp32"].value) == (50e9, 150e9)
    assert {profile.spec.memory.status, profile.spec.bandwidth.status, profile.spec.peaks["fp32"].status} == {
        "measured"
    }
    assert "threads" in profile.spec.bandwidth.note
    assert "matrices" in profile.spec.peaks["fp32"].note
    assert 0 < profile.spec.memory.value < psutil.virtual_memory().total
    assert 1 <= (profile.spec.cores or 0) <= len(os.sched_getaffinity(0))


def test_a_second_look_measures_nothing(tmp_path: Path) -> None:
    cache, meter = tmp_path / "deep" / "machine.json", Meter()

    first, second = detect(cache, meter), detect(cache, meter)

    assert first == second
    assert meter.calls == 1
    assert [path.name for path in cache.parent.iterdir()] == ["machine.json"]


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "{",
        "[]",
        "null",
        '"text"',
        '{"bandwidth": 1e9}',
        '{"bandwidth": "x", "peak_fp32": 1}',
        '{"machine": {}, "bandwidth": 1e9, "peak_fp32": 1e9}',
        "[" * 100_000,
        "\udcff",
    ],
    ids=range(10),
)
def test_a_damaged_file_is_measured_again(tmp_path: Path, damaged: str) -> None:
    cache, meter = tmp_path / "machine.json", Meter()
    cache.write_bytes(damaged.encode("utf-8", "surrogateescape"))

    detect(cache, meter)
    detect(cache, meter)

    assert meter.calls == 1


@pytest.mark.parametrize("number", ["-1", "0", "1e300", "Infinity", "NaN", "1" + "0" * 400])
def test_a_number_no_machine_reaches_is_measured_again(tmp_path: Path, number: str) -> None:
    cache, meter = tmp_path / "machine.json", Meter()
    detect(cache, meter)
    kept = json.loads(cache.read_text())
    cache.write_text(json.dumps(kept).replace("50000000000.0", number))

    detect(cache, meter)

    assert meter.calls == 2


def test_another_machine_is_measured_again(tmp_path: Path) -> None:
    cache, meter = tmp_path / "machine.json", Meter()
    detect(cache, meter)
    kept = json.loads(cache.read_text())
    kept["machine"]["processor"] = "another"
    cache.write_text(json.dumps(kept))

    detect(cache, meter)

    assert meter.calls == 2


def test_a_folder_that_cannot_be_written_does_not_stop_detection(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    assert detect(tmp_path / "file" / "machine.json", Meter()).spec.bandwidth.value == 50e9


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flags\t\t: fpu sse2 avx2 avx512f avx512_vnni amx_int8\n", ("avx2", "avx512f", "avx512_vnni", "amx_int8")),
        ("Features\t: fp asimd asimddp sve i8mm\n", ("neon", "asimddp", "i8mm", "sve")),
        ("", ()),
    ],
)
def test_instruction_sets_are_read_from_cpuinfo(text: str, expected: tuple[str, ...]) -> None:
    assert instructions(text) == expected


@pytest.mark.parametrize(
    ("files", "memory", "processors"),
    [
        pytest.param({"memory.max": "1073741824\n", "cpu.max": "150000 100000\n"}, 2**30, 1.5, id="version 2"),
        pytest.param({"memory.max": "max\n", "cpu.max": "max 100000\n"}, None, None, id="version 2 without limits"),
        pytest.param(
            {"memory.limit_in_bytes": "2147483648\n", "cpu.cfs_quota_us": "200000\n", "cpu.cfs_period_us": "100000\n"},
            2**31,
            2.0,
            id="version 1",
        ),
        pytest.param(
            {"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}, None, None, id="version 1 without limits"
        ),
        pytest.param({}, None, None, id="no control groups"),
    ],
)
def test_limits_of_control_groups_are_respected(
    tmp_path: Path, files: dict[str, str], memory: int | None, processors: float | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    assert memory_limit([tmp_path, tmp_path / "absent"]) == memory
    assert processor_limit([tmp_path, tmp_path / "absent"]) == processors


def test_measuring_this_machine_is_quick_and_sensible(tmp_path: Path) -> None:
    started = time.perf_counter()

    spec = detect(tmp_path / "machine.json").spec

    assert time.perf_counter() - started < 10
    assert 1e9 < spec.bandwidth.value < 1e13
    assert 1e9 < spec.peaks["fp32"].value < 1e15
