"""What a recipe is given and what it answers: plain values, no Kubernetes and no engine in them.

Pure. A recipe is a function from `Job` to `Launch`; there is one file per engine beside this one, and
`runtimes.recipes.RECIPES` names them. `orchestrator.adapters.kubernetes.render` fills the job and turns the launch into
objects. Everything here is shell-free: what differs from pod to pod is written `$(NAME)`, which Kubernetes expands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

OWN_ADDRESS = "$(POD_IP)"  # the recipe sets POD_IP from the pod's status
LEADER_ADDRESS = "$(LWS_LEADER_ADDRESS)"  # LeaderWorkerSet sets these two in every container
WORKER_INDEX = "$(LWS_WORKER_INDEX)"  # 0 in the leader


@dataclass(frozen=True, slots=True)
class Job:
    """One replica to launch: what to serve, cut how, over how many nodes."""

    service: str
    checkpoint: str  # folder inside the pod
    served_name: str  # the model name that requests carry
    quantization: str  # value of the engine's quantization flag; empty when the checkpoint says it itself
    tensor: int
    pipeline: int
    data: int
    expert: bool
    nodes: int
    chips_per_node: int
    context_tokens: int
    sequences: int  # decoded together by the whole replica
    port: int
    environment: Mapping[str, str]  # of the catalog's engine entry; wins over the recipe's own
    interface: str  # network interface of pods that span nodes


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable: a value, or a field of the pod."""

    name: str
    value: str = ""
    field_path: str = ""


@dataclass(frozen=True, slots=True)
class Port:
    """A port the leader listens on."""

    name: str
    number: int


@dataclass(frozen=True, slots=True)
class Probe:
    """A question to the leader: a command, or a path asked over HTTP on the port named `http`."""

    period_s: int
    timeout_s: int
    failures: int
    command: tuple[str, ...] = ()
    path: str = ""

    @property
    def patience_s(self) -> int:
        """How long the answer may be no before it counts."""
        return self.period_s * self.failures


@dataclass(frozen=True, slots=True)
class Launch:
    """How the engine is started, asked and stopped."""

    leader: tuple[str, ...]
    worker: tuple[str, ...]  # of every further node; empty when there is one node
    environment: tuple[Variable, ...]  # the same in leader and workers
    ports: tuple[Port, ...]
    startup: Probe
    readiness: Probe
    liveness: Probe
    drain_s: int  # between leaving the endpoints and the signal to stop
    grace_s: int  # from the order to stop until the kill; includes the drain


Recipe = Callable[[Job], Launch]
