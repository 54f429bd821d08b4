"""Files are written whole or not at all, and an error names the file that was wanted."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.files import write_whole


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    write_whole(tmp_path / "plan.html", "é")

    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("plan.html", b"\xc3\xa9")]


@pytest.mark.parametrize(
    "wanted", [pytest.param("gone/plan.html", id="no folder"), pytest.param("file/plan.html", id="a file for a folder")]
)
def test_an_error_names_the_wanted_path(tmp_path: Path, wanted: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="directory") as caught:
        write_whole(tmp_path / wanted, "text")

    assert (caught.value.filename, caught.value.filename2) == (str(tmp_path / wanted), None)


def test_where_a_folder_stands_in_the_way_it_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "plan.html").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        write_whole(tmp_path / "plan.html", "text")

    assert (caught.value.filename, caught.value.filename2) == (str(tmp_path / "plan.html"), None)
    assert [path.name for path in tmp_path.iterdir()] == ["plan.html"]
