"""Quantities: what is written with a unit is held as a number and written back without loss."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api.quantities import BANDWIDTH, COMPUTE, DURATION, MEMORY, PRICE, RATE, SHARE, Kind

KINDS = [DURATION, RATE, MEMORY, PRICE, BANDWIDTH, COMPUTE, SHARE]


@given(kind=st.sampled_from(KINDS), value=st.floats(min_value=1e-9, max_value=1e18) | st.just(0.0))
def test_what_is_shown_parses_back_to_the_same_number(kind: Kind, value: float) -> None:
    assert kind.parse(kind.show(value)) == value


@pytest.mark.parametrize(
    ("kind", "written", "value"),
    [
        (DURATION, "500ms", 0.5),
        (DURATION, "0.5us", 5e-7),
        (DURATION, " 2 s ", 2.0),
        (RATE, "2/min", 2 / 60),
        (RATE, "40/s", 40.0),
        (MEMORY, "16GiB", 16 * 2**30),
        (MEMORY, "64GB", 64e9),
        (PRICE, "11.2/h", 11.2),
        (PRICE, "730/month", 1.0),
        (BANDWIDTH, "1Gbps", 1.25e8),
        (COMPUTE, "626TOPS", 626e12),
        (SHARE, "29%", 0.29),
    ],
)
def test_a_writing_means(kind: Kind, written: str, value: float) -> None:
    assert kind.parse(written) == value


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        (DURATION, 0.5, "500ms"),
        (DURATION, 90, "90s"),
        (DURATION, 3600, "1h"),
        (MEMORY, 2.0**34, "16GiB"),
        (MEMORY, 0, "0B"),
        (PRICE, 0.0, "0/h"),
        (BANDWIDTH, 1.96e11, "196GB/s"),
        (COMPUTE, 294.9e12, "294.9TFLOPS"),
        (SHARE, 0.25, "25%"),
    ],
)
def test_a_number_is_shown_in_its_shortest_unit(kind: Kind, value: float, shown: str) -> None:
    assert kind.show(value) == shown


@pytest.mark.parametrize(
    ("kind", "written", "message"),
    [
        (DURATION, 5, "5 has no unit; write a duration such as 500ms (units: h, min, s, ms, us)"),
        (DURATION, "5 parsecs", "unknown unit 'parsecs' for a duration; units: h, min, s, ms, us; for example 500ms"),
        (DURATION, "-5s", "'-5s' is not a duration; write a positive number with a unit, such as 500ms"),
        (DURATION, True, "expected a duration such as 500ms, got true"),
        (RATE, [1], "expected a rate such as 40/s, got a list"),
        (PRICE, None, "expected a price such as 11.2/h, got nothing"),
        (
            MEMORY,
            "1" + " " * 70 + "GiB",
            "'1" + " " * 63 + "' is not a memory size; write a positive number with a unit, such as 16GiB",
        ),
    ],
)
def test_a_bad_writing_says_what_would_be_right(kind: Kind, written: object, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        kind.parse(written)

    assert str(caught.value) == message
