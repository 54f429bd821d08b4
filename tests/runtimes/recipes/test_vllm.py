"""What the vLLM recipes start, for each way a replica can be cut."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runtimes.errors import HeadwaterError, Invalid, Refused
from runtimes.recipes import RECIPES, Job, Launch, Variable, recipe_for

JOB = Job(
    service="assistant",
    checkpoint="/models/org/weights",
    served_name="assistant",
    quantization="",
    tensor=8,
    pipeline=1,
    data=1,
    expert=False,
    nodes=1,
    chips_per_node=8,
    context_tokens=8192,
    sequences=32,
    port=8000,
    environment={},
    interface="eth0",
)
DATA = replace(JOB, data=2, expert=True, nodes=2, quantization="ascend")
STAGES = replace(JOB, pipeline=2, nodes=2)

COMMON = (
    *("vllm", "serve", "/models/org/weights", "--host", "0.0.0.0", "--port", "8000"),
    *("--served-model-name", "assistant", "--tensor-parallel-size", "8", "--max-model-len", "8192"),
)
LIMITS = ("--max-num-batched-tokens", "4096", "--gpu-memory-utilization", "0.92")


def value(command: tuple[str, ...], flag: str) -> str:
    return command[command.index(flag) + 1]


def environment(launch: Launch) -> dict[str, str]:
    return {variable.name: variable.value or variable.field_path for variable in launch.environment}


def test_one_node_is_started_with_exactly_these_arguments() -> None:
    launch = recipe_for("vllm")(JOB)

    assert launch.leader == (*COMMON, "--max-num-seqs", "32", *LIMITS)
    assert launch.worker == ()
    assert launch.environment == (Variable("HF_HUB_OFFLINE", "1"), Variable("VLLM_NO_USAGE_STATS", "1"))
    assert [port.name for port in launch.ports] == ["http"]


def test_experts_over_two_ascend_nodes_are_started_as_the_vendor_publishes_it() -> None:
    launch = recipe_for("vllm-ascend")(DATA)
    shared = (
        *(*COMMON, "--max-num-seqs", "16", *LIMITS),
        *("--quantization", "ascend", "--data-parallel-size", "2", "--enable-expert-parallel"),
        *("--compilation-config", '{"cudagraph_mode": "FULL_DECODE_ONLY"}', "--no-enable-prefix-caching"),
        *("--data-parallel-size-local", "1", "--data-parallel-rpc-port", "13389"),
    )

    assert launch.leader == (*shared, "--data-parallel-address", "$(POD_IP)")
    assert launch.worker == (
        *(*shared, "--data-parallel-address", "$(LWS_LEADER_ADDRESS)"),
        *("--data-parallel-start-rank", "$(LWS_WORKER_INDEX)", "--headless"),
    )
    assert environment(launch) == {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "POD_IP": "status.podIP",
        "VLLM_HOST_IP": "status.podIP",
        "HCCL_IF_IP": "status.podIP",
        "GLOO_SOCKET_IFNAME": "eth0",
        "TP_SOCKET_IFNAME": "eth0",
        "HCCL_SOCKET_IFNAME": "eth0",
    }
    assert [(port.name, port.number) for port in launch.ports] == [("http", 8000), ("data-rpc", 13389)]


def test_a_dense_model_over_two_nodes_becomes_pipeline_stages() -> None:
    launch = recipe_for("vllm")(STAGES)
    each = ("--distributed-executor-backend", "mp", "--nnodes", "2", "--master-port", "29500")

    assert launch.leader[-10:] == (*each, "--node-rank", "0", "--master-addr", "$(POD_IP)")
    assert launch.worker[-11:] == (
        *(*each, "--node-rank", "$(LWS_WORKER_INDEX)", "--master-addr", "$(LWS_LEADER_ADDRESS)", "--headless"),
    )
    assert value(launch.leader, "--pipeline-parallel-size") == "2"
    assert environment(launch)["NCCL_SOCKET_IFNAME"] == "eth0"


@pytest.mark.parametrize(
    ("sequences", "data", "limit"),
    [
        pytest.param(32, 2, "16", id="half of the replica's"),
        pytest.param(3, 2, "2", id="rounded up, so none is lost"),
    ],
)
def test_the_sequence_limit_of_a_data_rank_is(sequences: int, data: int, limit: str) -> None:
    launch = recipe_for("vllm")(replace(DATA, data=data, sequences=sequences))

    assert value(launch.leader, "--max-num-seqs") == limit


@pytest.mark.parametrize(
    ("job", "error", "says"),
    [
        pytest.param(replace(JOB, tensor=4), Invalid, "needs 4 chips, but 1 x 8 = 8 are given", id="idle chips"),
        pytest.param(replace(JOB, nodes=2), Invalid, "needs 8 chips, but 2 x 8 = 16 are given", id="idle nodes"),
        pytest.param(
            replace(JOB, tensor=16, nodes=2), Refused, "no way this recipe can launch", id="tensor over nodes"
        ),
        pytest.param(replace(DATA, expert=False), Refused, "parallelism guide", id="data ranks of a dense model"),
        pytest.param(replace(DATA, tensor=4, data=4), Refused, "one data rank per node", id="two data ranks per node"),
    ],
)
@pytest.mark.parametrize("engine", sorted(RECIPES.keys() - {"edge"}))
def test_a_cut_that_cannot_run_is_refused_with_the_reason(
    engine: str, job: Job, error: type[HeadwaterError], says: str
) -> None:
    with pytest.raises(error, match=says):
        recipe_for(engine)(job)


def test_the_catalog_may_replace_a_variable_and_none_occurs_twice() -> None:
    launch = recipe_for("vllm")(replace(JOB, environment={"VLLM_NO_USAGE_STATS": "0", "A": "1"}))
    names = [variable.name for variable in launch.environment]

    assert environment(launch)["VLLM_NO_USAGE_STATS"] == "0"
    assert len(names) == len(set(names))


def test_the_order_of_the_catalogs_variables_does_not_matter() -> None:
    one, other = {"A": "1", "B": "2"}, {"B": "2", "A": "1"}

    assert recipe_for("vllm")(replace(JOB, environment=one)) == recipe_for("vllm")(replace(JOB, environment=other))


def test_an_unknown_recipe_is_answered_with_the_known_ones() -> None:
    with pytest.raises(Invalid, match=r"'mindie'; known are edge, vllm, vllm-ascend"):
        recipe_for("mindie")


@pytest.mark.parametrize("job", [JOB, DATA, STAGES], ids=["one node", "data ranks", "stages"])
@pytest.mark.parametrize("engine", sorted(RECIPES.keys() - {"edge"}))
def test_every_launch(engine: str, job: Job) -> None:
    launch = recipe_for(engine)(job)

    assert "--trust-remote-code" not in launch.leader + launch.worker
    assert launch.startup.patience_s == 3600  # 670 GB of weights load within the hour
    assert launch.liveness.patience_s == 600  # a busy engine is left alone
    for probe in (launch.startup, launch.readiness):
        assert float(probe.command[-1]) < probe.timeout_s < probe.period_s  # it ends by itself, and alone
    assert launch.grace_s > launch.drain_s
