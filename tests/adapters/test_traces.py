"""Traces are read row by row, and whatever is wrong in one is said with its line."""

from __future__ import annotations

import contextlib
import gzip
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.adapters.traces import HEADER, LONGEST_LINE, read_trace
from orchestrator.core.simulation.request import Asked
from orchestrator.errors import Invalid

AZURE = f"{HEADER}\n2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9306900,396,109\n"
MOONCAKE = (
    '{"timestamp": 500, "input_length": 1000, "output_length": 5, "hash_ids": [0, 1]}\n'
    '{"timestamp": 3500, "input_length": 900, "output_length": 4, "hash_ids": [0, 7]}\n'
)


def a_file(folder: Path, content: str | bytes) -> Path:
    path = folder / "trace"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        pytest.param(AZURE, [Asked(0, 374, 44), Asked(4.2501, 396, 109)], id="azure"),
        pytest.param(AZURE.replace("\n", "\r\n\r\n"), [Asked(0, 374, 44), Asked(4.2501, 396, 109)], id="windows"),
        pytest.param(
            "\n".join(",".join(f'"{cell}"' for cell in line.split(",")) for line in AZURE.splitlines()),
            [Asked(0, 374, 44), Asked(4.2501, 396, 109)],
            id="every cell in quotes",
        ),
        pytest.param(AZURE.replace(",", ", "), [Asked(0, 374, 44), Asked(4.2501, 396, 109)], id="spaces"),
        pytest.param("\ufeff" + AZURE, [Asked(0, 374, 44), Asked(4.2501, 396, 109)], id="byte order mark"),
        pytest.param(MOONCAKE, [Asked(0, 1000, 5, (0, 1)), Asked(3, 900, 4, (0, 7))], id="mooncake"),
        pytest.param(
            gzip.compress(MOONCAKE.encode()), [Asked(0, 1000, 5, (0, 1)), Asked(3, 900, 4, (0, 7))], id="gzip"
        ),
        pytest.param('{"timestamp": 0, "input_length": 1, "output_length": 1}', [Asked(0, 1, 1)], id="no blocks"),
    ],
)
def test_a_public_trace_is_read(tmp_path: Path, content: str | bytes, rows: list[Asked]) -> None:
    read = list(read_trace(a_file(tmp_path, content)))

    assert [row[1:] for row in read] == [row[1:] for row in rows]
    assert [row.at_s for row in read] == pytest.approx([row.at_s for row in rows], abs=1e-5)


def test_a_repeated_trace_goes_on_at_its_pace_with_blocks_of_its_own(tmp_path: Path) -> None:
    rows = list(read_trace(a_file(tmp_path, MOONCAKE), repeat=2, limit=3))

    assert rows == [Asked(0, 1000, 5, (0, 1)), Asked(3, 900, 4, (0, 7)), Asked(6, 1000, 5, (8, 9))]


def test_a_trace_can_be_played_faster(tmp_path: Path) -> None:
    assert [row.at_s for row in read_trace(a_file(tmp_path, MOONCAKE), speed=2)] == [0, 1.5]


def json_row(**changed: str) -> str:
    fields = {"timestamp": "1", "input_length": "1", "output_length": "1", "hash_ids": "[1]"} | changed
    return "{" + ", ".join(f'"{name}": {value}' for name, value in fields.items() if value) + "}"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param("", "holds no request", id="empty"),
        pytest.param(HEADER, "holds no request", id="header alone"),
        pytest.param("a,b\n1,2", ":1: is no trace that can be read", id="another csv"),
        pytest.param(b"PK\x03\x04\xff\xfe", ":1: is no UTF-8 text", id="bytes"),
        pytest.param(gzip.compress(MOONCAKE.encode())[:-20], "breaks off", id="half a gzip"),
        pytest.param(b"\x1f\x8bnot gzip", "breaks off", id="no gzip"),
        pytest.param(AZURE + "2023-11-16 18:15:51,1\n", ":4: has 2 cells", id="a cell too few"),
        pytest.param(
            AZURE + "yesterday,1,1\n", ":4: TIMESTAMP: 'yesterday' is no time; write one such as", id="no time"
        ),
        pytest.param(AZURE + '"2023-11-16 18:15:51,1,1\n', ":4: is no CSV; close every quote", id="an open quote"),
        pytest.param(AZURE + '"a"b,1,1\n', ":4: is no CSV; close every quote", id="a quote that ends too early"),
        pytest.param(AZURE + '"' + "x" * 200_000 + '",1,1\n', ":4: is no CSV", id="a cell without end"),
        pytest.param(
            AZURE + "2023-11-16 18:15:51,nan,1\n",
            ":4: ContextTokens must be a whole number from 1 to 10,000,000; 'nan' is none",
            id="not a count",
        ),
        pytest.param(AZURE + "2023-11-16 18:15:51,0,1\n", ":4: ContextTokens must be", id="no prompt"),
        pytest.param(AZURE + "2023-11-16 18:15:51,1,-5\n", ":4: GeneratedTokens must be", id="negative answer"),
        pytest.param(AZURE + "2023-11-16 18:15:51,1,1e9\n", ":4: GeneratedTokens must be", id="no whole number"),
        pytest.param(AZURE + "2023-11-16 18:15:51,1," + "9" * 5000 + "\n", ":4: GeneratedTokens must", id="a long one"),
        pytest.param(AZURE + "2023-11-16 18:15:01,1,1\n", ":4: comes 49.9307 s before", id="back in time"),
        pytest.param(MOONCAKE + "[1]", ":3: is no JSON object", id="a list"),
        pytest.param(MOONCAKE + "{", ":3: is no JSON object (", id="half an object"),
        pytest.param(json_row(timestamp=""), ":1: lacks timestamp", id="no timestamp"),
        pytest.param(json_row(timestamp="NaN"), ":1: timestamp must be", id="not a number"),
        pytest.param(json_row(timestamp="true"), ":1: timestamp must be", id="a truth"),
        pytest.param(json_row(timestamp="1" * 400), ":1: timestamp must be", id="beyond time"),
        pytest.param(json_row(input_length="1.5"), ":1: input_length must be", id="half a token"),
        pytest.param(json_row(output_length='"9"'), ":1: output_length must be", id="a text"),
        pytest.param(json_row(hash_ids="{}"), ":1: hash_ids must be a list", id="blocks are no list"),
        pytest.param(json_row(hash_ids='["x"]'), ":1: hash_ids must be whole", id="a block is a text"),
        pytest.param(json_row(hash_ids="[-1]"), ":1: hash_ids must be whole", id="a negative block"),
        pytest.param('{"a":' * 100_000, ":1: is", id="nested deep"),
        pytest.param("{" + "x" * LONGEST_LINE, ":1: is longer than", id="a line without end"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, content: str | bytes, sentence: str) -> None:
    with pytest.raises(Invalid) as caught:
        list(read_trace(a_file(tmp_path, content)))

    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="No such file"):
        list(read_trace(tmp_path / "none"))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["", HEADER + "\n", '{"timestamp": 0, ']))
@example(b"\x00", HEADER + "\n")
def test_no_bytes_make_a_traceback(tmp_path_factory: pytest.TempPathFactory, content: bytes, before: str) -> None:
    """Promise 9: bad input of any kind gets a clear error."""
    path = a_file(tmp_path_factory.getbasetemp(), before.encode() + content)

    with contextlib.suppress(Invalid):
        assert list(read_trace(path))
