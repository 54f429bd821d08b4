"""`Artifacts` on disk: reads the manifests of built artifacts in one folder. Half-made ones have no manifest yet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from orchestrator.core.world import Artifact
from runtimes.contract import MANIFEST_FILE, ArtifactManifest

LARGEST_MANIFEST_BYTES = 1 << 20


class DiskArtifacts:
    """The artifact store of this machine. A manifest is read once; its folder never changes after."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, ArtifactManifest | None] = {}

    def built(self) -> Mapping[tuple[str, str], Artifact]:
        """The newest artifact of each (model, quantization)."""
        found: dict[tuple[str, str], Artifact] = {}
        for path in sorted(self._folder.glob(f"[!.]*/{MANIFEST_FILE}"), key=_age):
            manifest = self._manifest(path)
            if manifest is not None:
                found[manifest.model, manifest.quantization] = Artifact(str(path.parent), manifest)
        return found

    def _manifest(self, path: Path) -> ArtifactManifest | None:
        if path not in self._read:
            try:
                small = path.stat().st_size <= LARGEST_MANIFEST_BYTES
                self._read[path] = ArtifactManifest.model_validate_json(path.read_text()) if small else None
            except (OSError, ValidationError, UnicodeDecodeError):
                self._read[path] = None  # not ours to mend; the edge engine says what is wrong when asked to load it
        return self._read[path]


def _age(path: Path) -> tuple[int, str]:
    """Oldest first; one that was removed just now counts as oldest and is not read."""
    try:
        return path.stat().st_mtime_ns, str(path)
    except OSError:
        return 0, str(path)
