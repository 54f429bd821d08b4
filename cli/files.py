"""Files that commands write: whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all, in UTF-8; what was there stays when it cannot be written.

    Half a manifest must never be applied, and half a lock never be believed. An OSError names the wanted path, never
    the unfinished one beside it.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    except OSError as exc:
        exc.filename, exc.filename2 = str(path), None
        raise
    finally:
        with suppress(OSError):  # what cannot be reached was never made
            fresh.unlink()
