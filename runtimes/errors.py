"""Every error raised on purpose; the branches say who acts next.

    HeadwaterError
      Invalid        the user changes what they wrote or gave
      Refused        a rule, a licence or an outside system said no; the user or an operator acts
      NotOurs        a name is taken by someone else; nobody retries
      Unavailable    something is away or full; try again after `retry_in_s`

Each carries one sentence for a person: what is wrong, where, what would be right. Exit codes and HTTP statuses are
chosen at the doors, never here. The data plane lives below the control plane, so the tree lives here;
`orchestrator.errors` adds its own leaves.
"""

from __future__ import annotations


class HeadwaterError(Exception):
    """Base of every error raised on purpose."""


class Invalid(HeadwaterError):
    """What the user wrote or gave cannot be used as it is."""


class Refused(HeadwaterError):
    """A rule or an outside system said no."""


class NotOurs(HeadwaterError):
    """The name belongs to someone else."""


class Unavailable(HeadwaterError):
    """Not now: away, full or still starting."""

    def __init__(self, message: str, *, retry_in_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_in_s = retry_in_s
