"""Built artifacts on disk: which count, and what a bad folder may not do."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from worlds import an_artifact

from orchestrator.adapters.artifacts import LARGEST_MANIFEST_BYTES, DiskArtifacts
from runtimes.contract import MANIFEST_FILE


def write(folder: Path, name: str, *, quantization: str = "int4", at_s: float = 1.0) -> Path:
    path = folder / name / MANIFEST_FILE
    path.parent.mkdir(parents=True)
    path.write_text(an_artifact(quantization=quantization).manifest.model_dump_json())
    os.utime(path, (at_s, at_s))
    return path


def found(artifacts: DiskArtifacts) -> dict[tuple[str, str], str]:
    return {key: Path(artifact.path).name for key, artifact in artifacts.built().items()}


def test_each_is_found_with_its_whole_manifest(tmp_path: Path) -> None:
    write(tmp_path, "a")
    write(tmp_path, "b", quantization="int8")

    built = DiskArtifacts(tmp_path).built()

    assert {key: artifact.manifest for key, artifact in built.items()} == {
        ("tiny", quantization): an_artifact(quantization=quantization).manifest for quantization in ("int4", "int8")
    }
    assert built["tiny", "int4"].path == str(tmp_path / "a")


def test_the_newest_of_a_kind_counts(tmp_path: Path) -> None:
    write(tmp_path, "b", at_s=1)
    write(tmp_path, "a", at_s=2)

    assert found(DiskArtifacts(tmp_path)) == {("tiny", "int4"): "a"}


def test_what_appears_is_seen_and_what_is_removed_is_forgotten(tmp_path: Path) -> None:
    artifacts = DiskArtifacts(tmp_path / "later")
    assert found(artifacts) == {}

    path = write(tmp_path / "later", "a")
    assert found(artifacts) == {("tiny", "int4"): "a"}

    path.unlink()
    assert found(artifacts) == {}


def half_made(path: Path) -> None:
    path.rename(path.with_name("manifest.part"))


def staged(path: Path) -> None:
    path.parent.rename(path.parent.with_name(".bad"))


def no_json(path: Path) -> None:
    path.write_text("{")


def no_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe")


def huge(path: Path) -> None:
    path.write_text(path.read_text() + " " * LARGEST_MANIFEST_BYTES)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_dead_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


@pytest.mark.parametrize("made", [half_made, staged, no_json, no_text, huge, a_folder, a_dead_link])
def test_a_folder_that_is_no_artifact_does_not_hide_the_others(made: Callable[[Path], None], tmp_path: Path) -> None:
    """Promise 9."""
    write(tmp_path, "good")
    made(write(tmp_path, "bad", at_s=2))

    assert found(DiskArtifacts(tmp_path)) == {("tiny", "int4"): "good"}
