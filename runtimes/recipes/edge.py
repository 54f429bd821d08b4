"""How our own edge engine is launched in a pod: an artifact that was verified before, on all cores of its node.

Pure. Ready means that a token was generated, alive that steps still advance: the server itself answers so. It opens no
connection of its own, so it starts and serves while the link to the cloud is down.
"""

from __future__ import annotations

from runtimes.errors import Refused
from runtimes.recipes.launch import Job, Launch, Port, Probe, Variable

LOADING_S = 900  # every byte is hashed, then a token is generated, on a slow board
DRAIN_S = 5  # until nobody sends new requests
STOP_S = 45  # the server gives running requests 30 s after the signal, and itself 10 s


def launch(job: Job) -> Launch:
    """Launch on one machine.

    Raises:
        Refused: the cut is over several chips or nodes.
    """
    if job.tensor * job.pipeline * job.data * job.nodes != 1:
        raise Refused(f"{job.service}: the edge engine runs on one machine; give each replica one chip of one node")
    command = [
        *("python3", "-m", "runtimes.edge.main"),
        *("--artifact", job.checkpoint),
        *("--name", job.served_name),
        *("--host", "0.0.0.0"),  # noqa: S104  the Service and the probes reach the pod by its address
        *("--port", str(job.port)),
        *("--slots", str(job.sequences)),
        *("--context", str(job.context_tokens)),
    ]
    return Launch(
        leader=tuple(command),
        worker=(),
        environment=tuple(Variable(name, job.environment[name]) for name in sorted(job.environment)),
        ports=(Port("http", job.port),),
        startup=Probe(period_s=5, timeout_s=5, failures=LOADING_S // 5, path="/readyz"),
        readiness=Probe(period_s=5, timeout_s=5, failures=3, path="/readyz"),
        liveness=Probe(period_s=20, timeout_s=10, failures=6, path="/healthz"),
        drain_s=DRAIN_S,
        grace_s=DRAIN_S + STOP_S,
    )
