"""How vLLM is launched: on one node, as data ranks over nodes, or as pipeline stages over nodes.

Pure. `runtimes.recipes.vllm_ascend` builds on `compose`. Flag names are those of vLLM's argument parser; why a flag is
there stands beside it. `--trust-remote-code` is absent on purpose: vLLM carries the architectures of the catalog, so a
checkpoint's own code need not run.
"""

from __future__ import annotations

import math

from runtimes.errors import Invalid, Refused
from runtimes.recipes.generation import one_token
from runtimes.recipes.launch import LEADER_ADDRESS, OWN_ADDRESS, WORKER_INDEX, Job, Launch, Port, Probe, Variable

MEMORY_SHARE = 0.92  # of a chip's memory; the planner counts on the same share
BATCHED_TOKENS = 4096  # prompt tokens in one step; the planner sizes the activations by it
RPC_PORT = 13389  # where data ranks meet
MASTER_PORT = 29500  # where pipeline stages meet

LOADING_S = 3600  # 670 GB of weights at 200 MB/s from a node's disk
ASK_S = 20  # for one token; the probe's own limit is larger, so the command ends by itself
DRAIN_S = 60  # answers under way finish; longer ones are cut
STOP_S = 30  # from the signal until the kill


def launch(job: Job) -> Launch:
    """Launch on chips whose collectives read NCCL's variables.

    Raises:
        Invalid: the cut does not use exactly the chips there are.
        Refused: vLLM cannot run the cut over these nodes.
    """
    return compose(job, sockets=("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"), addresses=(), flags=())


def compose(job: Job, *, sockets: tuple[str, ...], addresses: tuple[str, ...], flags: tuple[str, ...]) -> Launch:
    """Put a launch together from what all chips share and what one family adds.

    Args:
        job: the replica.
        sockets: variables that name the network interface, set when the replica spans nodes.
        addresses: further variables that hold the pod's own address, set when the replica spans nodes.
        flags: further arguments, the same on every node.

    Raises:
        Invalid: the cut does not use exactly the chips there are.
        Refused: vLLM cannot run the cut over these nodes.
    """
    cut, there = job.tensor * job.pipeline * job.data, job.nodes * job.chips_per_node
    if cut != there:
        raise Invalid(
            f"{job.service}: tensor {job.tensor} x pipeline {job.pipeline} x data {job.data} needs {cut} chips, "
            f"but {job.nodes} x {job.chips_per_node} = {there} are given; make both equal"
        )
    leader, worker = _over_nodes(job)
    common = _common(job) + flags
    rendezvous = (Port("data-rpc", RPC_PORT) if job.data > 1 else Port("master", MASTER_PORT),)
    return Launch(
        leader=common + leader,
        worker=common + worker if job.nodes > 1 else (),
        environment=_environment(job, sockets, addresses),
        ports=(Port("http", job.port), *(rendezvous if job.nodes > 1 else ())),
        startup=_generates(job, period_s=30, failures=LOADING_S // 30),
        # A full queue delays the probe's token too: only minutes without any token take the replica out of rotation.
        readiness=_generates(job, period_s=30, failures=6),
        # A restart costs the whole loading time, so only a server that has not answered for ten minutes is restarted.
        liveness=Probe(period_s=30, timeout_s=15, failures=20, path="/health"),
        drain_s=DRAIN_S,
        grace_s=DRAIN_S + STOP_S,
    )


def _common(job: Job) -> tuple[str, ...]:
    """What every node of a replica is started with."""
    # The planner counts sequences of the replica; vLLM's limit holds for each data rank.
    sequences = math.ceil(job.sequences / job.data)
    arguments = [
        *("vllm", "serve", job.checkpoint),
        *("--host", "0.0.0.0"),  # noqa: S104  the Service and the probes reach the pod by its address
        *("--port", str(job.port)),
        *("--served-model-name", job.served_name),  # requests carry the service's name, not a path
        *("--tensor-parallel-size", str(job.tensor)),
        *("--max-model-len", str(job.context_tokens)),  # planned; the card's own length would claim far more cache
        *("--max-num-seqs", str(sequences)),
        *("--max-num-batched-tokens", str(BATCHED_TOKENS)),
        *("--gpu-memory-utilization", str(MEMORY_SHARE)),
    ]
    if job.quantization:
        arguments += ["--quantization", job.quantization]
    if job.pipeline > 1:
        arguments += ["--pipeline-parallel-size", str(job.pipeline)]
    if job.data > 1:
        arguments += ["--data-parallel-size", str(job.data)]
    if job.expert:
        arguments += ["--enable-expert-parallel"]  # else every tensor group holds all experts
    return tuple(arguments)


def _over_nodes(job: Job) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What leader and worker add when the replica spans nodes.

    The leader names itself by address: it binds there, and ZeroMQ binds to addresses only, never to host names.
    """
    if job.nodes == 1:
        return (), ()
    if job.expert and job.data == job.nodes and job.pipeline == 1:
        # One data rank per node, so a worker's first rank is its index in the group; Kubernetes cannot multiply.
        each: tuple[str, ...] = ("--data-parallel-size-local", "1", "--data-parallel-rpc-port", str(RPC_PORT))
        leader: tuple[str, ...] = (*each, "--data-parallel-address", OWN_ADDRESS)
        worker: tuple[str, ...] = (
            *each,
            "--data-parallel-address",
            LEADER_ADDRESS,
            "--data-parallel-start-rank",
            WORKER_INDEX,
        )
        return leader, (*worker, "--headless")  # headless: ranks without an HTTP server of their own
    if job.data == 1 and job.pipeline % job.nodes == 0:
        each = ("--distributed-executor-backend", "mp", "--nnodes", str(job.nodes), "--master-port", str(MASTER_PORT))
        leader = (*each, "--node-rank", "0", "--master-addr", OWN_ADDRESS)
        worker = (*each, "--node-rank", WORKER_INDEX, "--master-addr", LEADER_ADDRESS)
        return leader, (*worker, "--headless")
    raise Refused(
        f"{job.service}: tensor {job.tensor}, pipeline {job.pipeline}, data {job.data}, expert {job.expert} over "
        f"{job.nodes} nodes is no way this recipe can launch; vLLM's parallelism guide spans nodes with one data rank "
        f"per node and expert parallel for mixtures of experts, and with whole pipeline stages per node for all others"
    )


def _environment(job: Job, sockets: tuple[str, ...], addresses: tuple[str, ...]) -> tuple[Variable, ...]:
    """The recipe's variables and the catalog's, ordered by origin; the catalog's value wins."""
    variables = {
        "HF_HUB_OFFLINE": Variable("HF_HUB_OFFLINE", "1"),  # weights lie on the node; nothing is fetched
        "VLLM_NO_USAGE_STATS": Variable("VLLM_NO_USAGE_STATS", "1"),  # nothing is sent out either
    }
    if job.nodes > 1:
        # Without VLLM_HOST_IP the engine guesses its address from the route to the internet, which a site may lack.
        for name in ("POD_IP", "VLLM_HOST_IP", *addresses):
            variables[name] = Variable(name, field_path="status.podIP")
        for name in sockets:
            variables[name] = Variable(name, job.interface)
    for name in sorted(job.environment):
        variables[name] = Variable(name, job.environment[name])
    return tuple(variables.values())


def _generates(job: Job, *, period_s: int, failures: int) -> Probe:
    command = one_token(job.port, job.served_name, ASK_S)
    return Probe(period_s=period_s, timeout_s=ASK_S + 5, failures=failures, command=command)
