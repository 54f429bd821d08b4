"""The Typer app: one command a file, errors to exit codes.

Exit codes: 0 done, 1 refused (the input or a rule says no), 2 the command line is wrong, 3 not yet (try again).
Heavy imports live inside the commands, so that `--help` is instant.
"""

from __future__ import annotations

import errno
import gc
import sys
from typing import Annotated

import typer

from cli import (
    build,
    calibrate,
    chat,
    crds,
    delete,
    demo,
    deploy,
    diff,
    discover,
    doctor,
    down,
    engines,
    explain,
    fit,
    hardware,
    logs,
    models,
    plan,
    policy,
    render,
    serve,
    simulate,
    status,
    up,
    validate,
    verify,
)
from cli.output import complain
from runtimes.errors import HeadwaterError, Unavailable

REFUSED, NOT_YET, INTERRUPTED = 1, 3, 130
SELDOM = 200_000  # objects between two collections: a command is short, and a large plan spends a quarter on them
HINTS = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EFBIG: "allow larger files (ulimit -f)",
    errno.EACCES: "choose a folder you may use",
    errno.EPERM: "choose a folder you may use",
    errno.EROFS: "choose a folder that can be written",
    errno.ENOTDIR: "choose a folder, not a file",
    errno.EEXIST: "choose a folder, not a file",
    errno.ENOENT: "choose a folder that can be made",
}

app = typer.Typer(
    name="headwater",
    help="Places quantized small models on edge runtimes and large teachers on accelerator pools, as one problem.",
    epilog="Exit codes: 0 done, 1 refused, 2 wrong command line, 3 not yet. Files and logs live in $HEADWATER_HOME.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"headwater {version('headwater')}")
        raise typer.Exit


@app.callback()
def headwater(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Options of no command; what is said of the app stands above."""


RUNNING = (
    demo,
    up,
    down,
    build,
    serve,
    plan,
    explain,
    diff,
    simulate,
    fit,
    policy,
    deploy,
    status,
    chat,
    verify,
    validate,
    calibrate,
    logs,
    discover,
    doctor,
    render,
    delete,
)
CATALOG = (models, hardware, engines, crds)
for command in (*RUNNING, *CATALOG):
    command.register(app)


def run() -> None:
    """The entry point: every error raised on purpose becomes one message and an exit code."""
    gc.set_threshold(SELDOM)
    try:
        app()
    except HeadwaterError as exc:
        complain(str(exc))
        sys.exit(NOT_YET if isinstance(exc, Unavailable) else REFUSED)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(REFUSED)
    except OSError as exc:  # a disk or a folder said no; everything else is caught nearer
        complain(f"{exc.filename or 'writing'}: {exc.strerror or exc}; {HINTS.get(exc.errno or 0, 'look there')}")
        sys.exit(REFUSED)
    except KeyboardInterrupt:
        complain("interrupted")
        sys.exit(INTERRUPTED)
