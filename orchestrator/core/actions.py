"""Everything the controller can do, and the four answers a service can get. Pure; the set is closed."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.fit import Rejected
from runtimes.contract import ReplicaSpec, RouteTable


@dataclass(frozen=True, slots=True)
class Start:
    """Start a replica; nothing happens when it runs already."""

    spec: ReplicaSpec


@dataclass(frozen=True, slots=True)
class Stop:
    """Let a replica finish what it has, then end it."""

    replica: str
    site: str
    why: str


@dataclass(frozen=True, slots=True)
class SetRoutes:
    """Give the gateway its table."""

    table: RouteTable


Action = Start | Stop | SetRoutes


@dataclass(frozen=True, slots=True)
class Done:
    """Everything is as wanted."""

    note: str = ""


@dataclass(frozen=True, slots=True)
class Wait:
    """Something is under way; nothing to do before it ends."""

    why: str


@dataclass(frozen=True, slots=True)
class Act:
    """These moves bring the service nearer to what is wanted."""

    actions: tuple[Start | Stop, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Blocked:
    """It cannot go on by itself; the numbers say why."""

    rejections: tuple[Rejected, ...]


Outcome = Done | Wait | Act | Blocked
