"""An artifact that was built here, as pods on a cluster need it: a name, its manifest as text, and the memory it takes.

Pure. Used by `render` beside this file; whoever reads artifacts from a disk makes the `Built`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from orchestrator.core.world import Configuration
from runtimes.contract import ArtifactManifest
from runtimes.edge.artifact import cache_bytes

SPARE = 1.1  # of what was measured at the build: requests, buffers of the server


@dataclass(frozen=True, slots=True)
class Built:
    """The artifact and the very text of its manifest, which pods hold it against."""

    manifest: ArtifactManifest
    text: str

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest: every file's checksum is in it."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def named(built: Built) -> str:
    """Its folder below the folder of all weights; other content has another name."""
    return f"{built.manifest.model}-{built.manifest.quantization}-{built.digest[:12]}"


def memory_bytes(built: Built, configuration: Configuration) -> int:
    """Main memory of a replica, rounded up to MiB: what the build measured, and all caches, which never grow."""
    shape = built.manifest.shape
    cache = cache_bytes(shape, slots=configuration.sequences, context_tokens=configuration.context_tokens)
    return -(-int(SPARE * (built.manifest.needs.resident_bytes + cache)) // (1 << 20)) << 20
