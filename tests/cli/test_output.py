"""Tables on narrow and wide terminals."""

from __future__ import annotations

import re
import sys

import pytest

from cli.output import count, draw, price_for_people, rate_for_people

COLUMNS = ("service", "model", "how")
ROWS = [("assistant", "smollm2-135m-instruct", "edge, int4, 8 x 4096 tokens"), ("other", "qwen3-0.6b", "")]


@pytest.mark.parametrize("width", [20, 40, 45, 60, 80, 200])
def test_no_word_is_cut_and_no_line_is_wider_than_the_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    draw("Plan", COLUMNS, ROWS)
    shown = re.sub(r"\x1b\[\d+m", "", capsys.readouterr().out)

    words = {word for row in [COLUMNS, *ROWS] for cell in row for word in cell.split()}
    assert all(word in shown for word in words)
    if width >= 40:
        assert max(map(len, shown.splitlines())) <= width


def test_where_columns_have_no_room_each_row_is_a_paragraph(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    draw("Plan", COLUMNS, ROWS)

    assert capsys.readouterr().out.splitlines() == [
        "Plan",
        "  service: assistant",
        "  model: smollm2-135m-instruct",
        "  how: edge, int4, 8 x 4096 tokens",
        "",
        "  service: other",
        "  model: qwen3-0.6b",
        "",
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (1e-7, "0.0000001"),
        (0.05, "0.05"),
        (0.125, "0.125"),
        (0.99999, "1"),
        (3.73333, "3.73"),
        (4.1449, "4.14"),
        (22.4, "22.4"),
        (11.25, "11.25"),
        (100, "100"),
        (268.8, "268.8"),
        (999.96, "1,000"),
        (1234, "1,234"),
        (16968.96, "16,969"),
        (1e6, "1,000,000"),
    ],
)
def test_numbers_have_no_exponent_and_no_digits_that_nobody_needs(value: float, shown: str) -> None:
    assert (rate_for_people(value), price_for_people(value)) == (f"{shown}/s", f"{shown}/h")


def test_one_is_singular() -> None:
    assert [count(number, "row") for number in (0, 1, 2, 1200)] == ["0 rows", "1 row", "2 rows", "1,200 rows"]
