"""`python -m cli` is the `headwater` command."""

from cli.main import run

run()
