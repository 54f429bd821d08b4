"""A whole replica with the real model, over HTTP, as clients see it."""

from __future__ import annotations

import json
import os
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import jsonschema
import openai
import pytest
from pydantic import BaseModel

from runtimes.contract import Phase, ReplicaSpec
from runtimes.edge.replica import Replica

pytestmark = pytest.mark.model

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
PROMPTS = [
    "The capital of France is",
    "Once upon a time there was a small robot who",
    "def fibonacci(n):\n",
    "The three laws of thermodynamics are",
    "A recipe for bread needs",
    "In the year 1969",
]


def a_spec(artifact: Path, **changes: object) -> ReplicaSpec:
    fields: dict[str, object] = {
        "name": "tiny-0",
        "owner": "test",
        "service": "tiny",
        "tier": "student",
        "site": "here",
        "pool": 0,
        "variant": "int4",
        "artifact": str(artifact),
        "slots": 4,
        "context_tokens": 512,
        "threads": 2,
        "queue": 8,
        "memory_bytes": 4 << 30,
    }
    return ReplicaSpec.model_validate(fields | changes)


def until(true: Callable[[], bool], timeout_s: float = 30) -> None:
    """Wait for something that has no event to wait for."""
    deadline_s = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline_s, "it never came true"
        time.sleep(0.005)


@pytest.fixture(scope="module")
def replica(artifact: Path) -> Iterator[Replica]:
    replica = Replica(a_spec(artifact))
    replica.start()
    assert replica.wait(120).phase is Phase.READY, replica.report().message
    yield replica
    replica.stop(10)
    assert replica.report().phase is Phase.GONE


@pytest.fixture
def client(replica: Replica) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=replica.report().url + "/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


class Capital(BaseModel):
    """What is asked for."""

    city: Literal["Paris", "Rome"]
    large: bool


def test_the_clients_own_structured_calls_work_whole_and_streamed(client: openai.OpenAI) -> None:
    asked = {"model": "tiny", "messages": QUESTION, "temperature": 0, "max_tokens": 60, "response_format": Capital}
    whole = client.chat.completions.parse(**asked).choices[0].message.parsed
    with client.chat.completions.stream(**asked) as stream:
        streamed = stream.get_final_completion().choices[0].message.parsed

    assert isinstance(whole, Capital)
    assert streamed == whole


def test_the_client_reads_probabilities_and_several_answers(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="tiny", messages=QUESTION, temperature=0, max_tokens=5, logprobs=True, top_logprobs=3, n=2
    )

    one, other = answer.choices
    assert one.message.content == other.message.content == "".join(told.token for told in one.logprobs.content)
    assert all(told.logprob == told.top_logprobs[0].logprob <= 0 for told in one.logprobs.content)


def test_a_provider_that_is_not_there_is_named_and_the_next_one_runs(artifact: Path) -> None:
    replica = Replica(a_spec(artifact).model_copy(update={"providers": ("CANNExecutionProvider",)}))
    replica.start()
    try:
        report = replica.wait(120)
        assert (report.phase, report.providers) == (Phase.READY, ("CPUExecutionProvider",))
        assert (
            "Runs on CPUExecutionProvider; not in this build of ONNX Runtime, or without a device: CANN"
            in report.message
        )
    finally:
        replica.stop(10)


def greedy(client: openai.OpenAI, prompt: str, tokens: int = 40) -> str:
    return client.completions.create(model="tiny", prompt=prompt, temperature=0, max_tokens=tokens).choices[0].text


def test_the_capital_of_france_is_paris(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="tiny", messages=QUESTION, temperature=0, max_tokens=40)

    assert "Paris" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens == 37
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_stream_is_the_same_answer_with_usage_at_its_end(client: openai.OpenAI) -> None:
    asked = {"model": "tiny", "messages": QUESTION, "temperature": 0, "max_tokens": 40}
    whole = client.chat.completions.create(**asked)
    chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))

    told = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert "".join(choice.delta.content or "" for choice in told) == whole.choices[0].message.content
    assert told[-1].finish_reason == "stop"
    assert chunks[-1].usage == whole.usage


def test_a_beginning_seen_before_is_not_read_again_and_changes_no_answer(
    client: openai.OpenAI, replica: Replica
) -> None:
    asked = {"model": "tiny", "prompt": "In spring the river rises over the meadow. " * 20, "max_tokens": 20}
    first, again = (client.completions.create(**asked, temperature=0) for _ in range(2))
    with urllib.request.urlopen(replica.report().url + "/metrics") as page:
        metrics = page.read().decode()

    reused = again.usage.prompt_tokens_details.cached_tokens
    assert first.usage.prompt_tokens_details.cached_tokens == 0
    assert 0 < again.usage.prompt_tokens - reused <= 64
    assert again.choices[0].text == first.choices[0].text
    assert f"headwater_edge_reused_prompt_tokens_total {reused}" in metrics


def test_a_seed_repeats_an_answer_whoever_else_is_served(client: openai.OpenAI) -> None:
    def seeded(seed: int) -> str:
        asked = client.completions.create(model="tiny", prompt="A poem:", seed=seed, max_tokens=30, top_p=0.9)
        return asked.choices[0].text

    alone = seeded(7)
    with ThreadPoolExecutor(4) as pool:
        seeds = [7, 8, 7, 9]
        together = list(pool.map(seeded, seeds))

    assert together[0] == together[2] == alone
    assert len(set(together)) == 3


def test_a_schema_binds_the_answer_of_the_real_model(client: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}, "inhabitants": {"enum": [1000, 2000000]}},
        "required": ["city", "inhabitants"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "capital", "schema": schema, "strict": True}}
    answer = client.chat.completions.create(model="tiny", messages=QUESTION, temperature=0, response_format=wanted)

    assert answer.choices[0].finish_reason == "stop"
    jsonschema.validate(json.loads(answer.choices[0].message.content), schema)


def test_a_stop_string_ends_the_answer_before_it(client: openai.OpenAI) -> None:
    whole = greedy(client, PROMPTS[0])
    asked = client.completions.create(model="tiny", prompt=PROMPTS[0], temperature=0, max_tokens=40, stop=[whole[7:13]])

    assert asked.choices[0].text == whole[: whole.find(whole[7:13])]
    assert asked.choices[0].finish_reason == "stop"


def test_greedy_answers_do_not_depend_on_neighbours_that_come_and_go(client: openai.OpenAI) -> None:
    lengths = [40, 15, 33, 8, 27, 40]
    alone = [greedy(client, prompt, tokens) for prompt, tokens in zip(PROMPTS, lengths, strict=True)]

    def leaver(number: int) -> None:
        for _ in client.completions.create(model="tiny", prompt="x " * 90, max_tokens=200, stream=True, seed=number):
            break

    with ThreadPoolExecutor(8) as pool:
        leaving = [pool.submit(leaver, number) for number in range(2)]
        together = list(pool.map(lambda asked: greedy(client, *asked), zip(PROMPTS, lengths, strict=True)))
        for future in leaving:
            future.result()

    assert together == alone


def test_a_prompt_in_pieces_gives_the_same_answer_as_its_tokens(client: openai.OpenAI) -> None:
    long = " ".join(PROMPTS) * 4  # several pieces of a prompt

    assert greedy(client, long, 10) == greedy(client, long, 10)
    assert client.completions.create(model="tiny", prompt=long, max_tokens=1).usage.prompt_tokens > 130


def test_another_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.completions.create(model="gpt-4", prompt="x")

    assert caught.value.code == "model_not_found"
    assert [card.id for card in client.models.list()] == ["tiny"] == [client.models.retrieve("tiny").id]


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        pytest.param({"max_tokens": 600}, "context of 512 tokens", id="too long"),
        pytest.param({"n": 9}, "n must be at most 8", id="too many answers"),
        pytest.param({"suffix": "end"}, "not supported", id="not supported"),
    ],
)
def test_what_cannot_be_done_is_a_bad_request(client: openai.OpenAI, extra: dict[str, object], sentence: str) -> None:
    with pytest.raises(openai.BadRequestError, match=sentence):
        client.completions.create(model="tiny", prompt="x", **extra)


def test_malformed_requests_do_not_fill_the_log(replica: Replica, caplog: pytest.LogCaptureFixture) -> None:
    address = urlsplit(replica.report().url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as client:
        client.sendall(b"nonsense\r\n\r\n")

        assert b" 400 " in client.recv(100)
    assert caplog.records == []


def test_a_client_that_leaves_frees_its_slot(client: openai.OpenAI, replica: Replica) -> None:
    stream = client.completions.create(model="tiny", prompt="Count:", max_tokens=400, seed=1, stream=True)
    next(iter(stream))
    assert replica.report().running == 1

    stream.close()

    until(lambda: replica.report().running == 0)


def test_a_full_queue_is_a_rate_limit_and_draining_finishes_what_runs(artifact: Path) -> None:
    log: list[str] = []
    replica = Replica(a_spec(artifact, slots=1, queue=0), log=log.append)
    replica.start()
    url = replica.wait(120).url
    with openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0, timeout=60) as client:
        stream = client.completions.create(model="tiny", prompt="Count:", max_tokens=300, temperature=0, stream=True)
        chunks = iter(stream)
        next(chunks)
        with pytest.raises(openai.RateLimitError) as full:
            greedy(client, "x")
        replica.drain()
        with pytest.raises(openai.InternalServerError) as leaving:
            greedy(client, "x")
        rest = list(chunks)

        assert int(full.value.response.headers["Retry-After"]) >= 1
        assert leaving.value.status_code == 503
        assert rest[-1].choices[0].finish_reason in {"stop", "length"}
        assert replica.report().phase is Phase.DRAINING
        until(lambda: replica.report().running == 0)
    replica.stop(10)
    assert log == [
        f"tiny-0 starts: process {os.getpid()}, artifact {artifact}",
        f"tiny-0 listens at {url} and loads the model",
        f"tiny-0 is ready at {url}",
        "tiny-0 is draining: Takes nothing new and finishes what it has.",
        "tiny-0 is draining: Has finished what it had.",
        "tiny-0 is gone: Stopped.",
    ]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param({"context_tokens": 100_000}, "built for 8192", id="a context the model does not have"),
        pytest.param({"memory_bytes": 1000}, "the replica may use 1000", id="too little memory"),
    ],
)
def test_a_spec_that_cannot_run_fails_in_one_sentence(
    artifact: Path, changes: dict[str, object], sentence: str
) -> None:
    if "context_tokens" in changes:
        changes = changes | {"memory_bytes": 1 << 50}
    log: list[str] = []
    replica = Replica(a_spec(artifact, **changes), log=log.append)
    replica.start()
    report = replica.wait(60)
    replica.stop(10)

    assert report.phase is Phase.FAILED
    assert sentence in report.message
    assert log[-1] == f"tiny-0 is failed: {report.message}"


def test_a_busy_port_fails_in_one_sentence(artifact: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        replica = Replica(a_spec(artifact), port=port)
        replica.start()
        report = replica.wait(60)

    assert report.phase is Phase.FAILED
    assert f"Port {port} on 127.0.0.1 cannot be listened on" in report.message
