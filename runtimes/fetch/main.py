"""The command of init containers and jobs: `python -m runtimes.fetch.main checkpoint|artifact|check|wait ...`.

Thin: parses, calls `verified`, turns errors into one line and exit codes 1 (refused) and 3 (not yet).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from runtimes.errors import HeadwaterError, Unavailable
from runtimes.fetch.listing import inside
from runtimes.fetch.verified import Wanted, artifact, await_checkpoint, check, checkpoint

REFUSED, NOT_YET = 1, 3
PATIENCE_S = 24 * 3600.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and bring, verify or await weights."""
    parser = argparse.ArgumentParser(prog="headwater-fetch", description="Weights onto a node or a volume, verified.")
    parser.add_argument("what", choices=("checkpoint", "artifact", "check", "wait"))
    parser.add_argument("--to", type=Path, required=True, help="folder of all weights")
    parser.add_argument("--name", required=True, help="of the folder below it, such as org/model")
    parser.add_argument("--mirror", default="", help="address that has a folder of that name")
    parser.add_argument("--sums", default="", help="SHA-256 of the checkpoint's SHA256SUMS")
    parser.add_argument("--manifest", type=Path, help="of the artifact that is wanted")
    options = parser.parse_args(arguments)
    if (options.what in {"artifact", "check"}) != (options.manifest is not None):
        parser.error("--manifest is of an artifact")
    try:
        wanted = Wanted(options.to, inside(options.name, "--name"), options.mirror, options.sums)
        if options.what == "checkpoint":
            checkpoint(wanted, _say)
        elif options.what == "artifact":
            artifact(wanted, options.manifest, _say)
        elif options.what == "check":
            check(wanted, options.manifest, _say)
        else:
            await_checkpoint(wanted, PATIENCE_S, _say)
    except HeadwaterError as exc:
        _say(f"error: {exc}")
        return NOT_YET if isinstance(exc, Unavailable) else REFUSED
    return 0


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    raise SystemExit(main())
