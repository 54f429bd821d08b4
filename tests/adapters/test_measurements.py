"""Tables of measurements as files: what is read, and that every bad one gets a sentence with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.adapters import measurements
from orchestrator.adapters.catalog import read_catalog
from orchestrator.adapters.measurements import read_rows, rows_of, shipped_rows, with_measured
from orchestrator.core.rows.mapping import cases
from runtimes.errors import Invalid

HEAD = "id,device,model,engine,tpot_ms\n"
TRUSTED = ("ok", "vendor", "paper")
LEAST = 0.85  # of the rows are mapped


def test_cells_are_read_and_the_rest_of_the_columns_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('\ufeffid,device,model,engine,tpot_ms,mine\r\n1, nvidia-h20 ,qwen3-8b,vLLM,"1,234.5",x\r\n\r\n')

    (row,) = read_rows(path)

    assert (row.id, row.device, row.tpot_ms, row.notes, row.line) == ("1", "nvidia-h20", 1234.5, "", 2)


@pytest.mark.parametrize(
    ("cell", "number"),
    [("", None), ("7", 7), ("1e3", 1000), ("21.6-22.6", 22.1), ("20+", None), ("not stated", None), ("about 30", None)],
)
def test_a_number_may_be_a_range_or_missing(cell: str, number: float | None) -> None:
    (row,) = rows_of(f"{HEAD}1,a,b,c,{cell}".encode(), "x.csv")

    assert row.tpot_ms == pytest.approx(number) if number is not None else row.tpot_ms is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "x.csv: has no rows; write a header with id, device, model, engine"),
        (HEAD.encode(), "x.csv: has no rows"),
        (b"\n\n\n", "x.csv:1: has no column id, device, model, engine"),
        (b"id,engine\n1,a", "x.csv:1: has no column device, model"),
        (b"id;device;model;engine\n", "x.csv:1: separate the columns with commas, not with semicolons or tabs"),
        (b"id\tdevice\n", "x.csv:1: separate the columns with commas"),
        (b"id,id,device,model,engine\n", "x.csv:1: has the column 'id' more than once"),
        (b"a," * 200, "x.csv:1: has 201 columns; at most 100"),
        (HEAD.encode() + b"1,a,b,c,nan", "x.csv:2: tpot_ms: 'nan' is no finite number; write a number from 0 up"),
        (HEAD.encode() + b"1,a,b,c,inf", "x.csv:2: tpot_ms: 'inf' is no finite number"),
        (HEAD.encode() + b"1,a,b,c,-3", "x.csv:2: tpot_ms: '-3' is negative"),
        (HEAD.encode() + b"1,a,b,c,fast", "x.csv:2: tpot_ms: 'fast' is no number"),
        (HEAD.encode() + b"1,a,b,c,1e300", "x.csv:2: tpot_ms: 1e300 is too large; at most 1e+12"),
        (HEAD.encode() + b"1,a,b,c,1\n\n2,a,b", "x.csv:4: has 3 cells where the header has 5"),
        (
            HEAD.encode() + b"1,a,b,c,1,2",
            "x.csv:2: has 6 cells where the header has 5; put cells with commas in quotes",
        ),
        (HEAD.encode() + b"1,,b,c,1", "x.csv:2: device: is empty"),
        (HEAD.encode() + b"1,a,b,c,1\n1,a,b,c,1", "x.csv:3: id: '1' is the id of line 2 too"),
        (HEAD.encode() + b'1,"a,b,c,1', "x.csv:2: is no CSV"),
        (HEAD.encode() + b"1," + b"a" * 5000 + b",b,c,1", "x.csv:2: device: is longer than 2,000 characters"),
        (
            HEAD.encode() + b"1," + b"a" * 200_000 + b",b,c,1",
            "x.csv:2: has a cell longer than 2,000 characters; shorten",
        ),
        (HEAD.encode() + b'1,"a"b,b,c,1', "x.csv:2: is no CSV; close every quote"),
        (HEAD.encode() + b"1,\xe9,b,c,1", "x.csv:2: is not UTF-8; save it as UTF-8"),
        ("id,device".encode("utf-16"), "x.csv: is written in UTF-16; save it as UTF-8"),
        (HEAD.encode() + b"1,a\0,b,c,1", "x.csv:2: holds a zero byte"),
    ],
)
def test_a_bad_table_is_refused_with_its_line(content: bytes, message: str) -> None:
    with pytest.raises(Invalid) as refused:
        rows_of(content, "x.csv")

    assert str(refused.value).startswith(message)


def test_every_bad_cell_is_told_up_to_a_number_of_them() -> None:
    content = HEAD + "".join(f"{n},a,b,c,-1\n" for n in range(1000))

    with pytest.raises(Invalid) as refused:
        rows_of(content.encode(), "x.csv")

    lines = str(refused.value).splitlines()
    assert len(lines) == measurements.MOST_PROBLEMS + 1
    assert lines[-1].endswith("and more; correct these first")


@pytest.mark.parametrize(
    ("limit", "most", "message"), [("MOST_ROWS", 2, "more than 2 rows"), ("MOST_BYTES", 9, "larger")]
)
def test_a_huge_table_is_refused(monkeypatch: pytest.MonkeyPatch, limit: str, most: int, message: str) -> None:
    monkeypatch.setattr(measurements, limit, most)

    with pytest.raises(Invalid, match=message):
        rows_of((HEAD + "".join(f"{n},a,b,c,1\n" for n in range(9))).encode(), "x.csv")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"gone\.csv cannot be read: No such file"):
        read_rows(tmp_path / "gone.csv")


def test_the_shipped_rows_are_mapped_but_for_a_few_that_say_why() -> None:
    rows = shipped_rows()

    mapped, skipped = cases(rows, with_measured(read_catalog()))

    trusted = [row for row in rows if row.quality in TRUSTED]
    assert len(mapped) + len(skipped) == len(rows)
    assert len(mapped) >= LEAST * len(rows)
    assert sum(case.quality in TRUSTED for case in mapped) >= LEAST * len(trusted)
    assert all(row.reason for row in skipped)


def test_a_card_of_the_catalog_goes_before_what_the_rows_came_with() -> None:
    catalog = read_catalog()
    card = catalog.models["qwen3-8b"]
    own = catalog.with_documents(
        [card.model_copy(update={"metadata": card.metadata.model_copy(update={"name": "llama-2-7b"})})]
    )

    assert with_measured(own).models["llama-2-7b"].spec == card.spec
    assert "llama-2-7b" not in catalog.models
