"""`headwater fit`, as typed: the answer for people and for programs, and what it says to wrong names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from conftest import Command

H20 = ("fit", "--model", "deepseek-r1", "--chip", "nvidia-h20")


def test_the_answer_says_every_byte_and_what_else_would_do(command: Command) -> None:
    said = command.run(*H20, "--chips", "8", "--quantization", "fp8").stdout

    for part in ("weights", "cache", "activations", "buffers", "together", "usable", "free"):
        assert f"\n {part} " in said
    assert "deepseek-r1 fp8 fits on 8 x nvidia-h20." in said
    assert "longest context with 1 sequence: " in said
    assert "most sequences of 4,096 tokens: " in said
    assert "fewest chips that would do in fp8: 8" in said
    assert "the node's tool says which" in said


def test_a_no_says_why_and_what_would_do_and_ends_with_1(command: Command) -> None:
    said = command.run("fit", "-m", "qwen3-32b", "-c", "kunlun-p800", "--chips", "3", code=1).stdout

    assert "qwen3-32b fp16 does not run on 3 x kunlun-p800 (count): needs 3 boards" in said
    assert "does not fit" not in said
    assert said.count("needs 3 boards in a pod, has 1, 2, 4, 8 on a node of 8; take 4;") == 1
    assert "memory of the fullest chip" not in said


def test_a_cut_that_no_heads_allow_is_not_called_a_lack_of_memory(command: Command) -> None:
    said = command.run("fit", "-m", "qwen3-32b", "-c", "nvidia-h20", "--tp", "7", code=1).stdout

    assert "qwen3-32b bf16 does not run on 7 x nvidia-h20 (count): needs heads that 7 ranks share evenly" in said
    assert said.count("7 ranks share evenly") == 1
    assert "does not fit" not in said


def test_a_lack_of_memory_is_called_so(command: Command) -> None:
    said = command.run(*H20, "--chips", "1", code=1).stdout

    assert "does not fit on 1 x nvidia-h20." in said
    assert "(memory): needs " in said


def test_more_sequences_than_are_looked_for_are_said_to_be_more(command: Command) -> None:
    said = command.run("fit", "-m", "qwen3-0.6b", "-c", "nvidia-h20", "--memory", "99999GiB").stdout

    assert "most sequences of 4,096 tokens: 65,536 or more" in said


def test_where_nothing_can_be_added_up_what_is_known_is_said(command: Command) -> None:
    said = command.run("fit", "-m", "hunyuanvideo", "-c", "nvidia-h20").stdout

    assert "544 x 960, 129 frames, batch 1, with offloading: 45GB, fits" in said
    assert "no published dimensions of a decoder" in said
    assert "  not " not in said


@pytest.mark.parametrize(("output", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_programs_read_the_same_answer(command: Command, output: str, read: Any) -> None:
    value = read(command.run(*H20, "--context", "32k", "--output", output).stdout)

    assert (value["fits"], value["contextTokens"], value["quantization"]) == (True, 32768, "fp8")
    memory = value["memory"]
    parts = ("weightsBytes", "kvCacheBytes", "activationsBytes", "buffersBytes", "engineBytes")
    assert sum(memory[part] for part in parts) == memory["totalBytes"]
    assert memory["reservedBytes"] == value["chipBytes"] - value["usableBytes"] > 0
    assert value["perToken"]["kvBytes"] == 70_272


def test_this_machine_is_a_chip_too(command: Command) -> None:
    value = json.loads(command.run("fit", "-m", "smollm2-135m-instruct", "-c", "local", "-o", "json").stdout)

    assert (value["fits"], value["engine"], value["chips"]) == (True, "edge", 1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(("-m", "deepseek-r2", "-c", "nvidia-h20"), "did you mean deepseek-r1", id="a model"),
        pytest.param(("-m", "deepseek-r1", "-c", "h20"), "did you mean nvidia-h20", id="a chip"),
        pytest.param((*H20[1:], "-q", "fp9"), "did you mean fp8", id="a quantization"),
        pytest.param((*H20[1:], "--engine", "edge"), "is no engine of nvidia-h20; its engines: ", id="an engine"),
        pytest.param(
            ("-m", "qwen3-32b", "-c", "nvidia-h20", "--ep"), "qwen3-32b has no experts to spread", id="no experts"
        ),
        pytest.param((*H20[1:], "--context", "4kb"), "write one such as 4096, 32k or 1m", id="a context"),
        pytest.param((*H20[1:], "--context", "11m"), "write one such as 4096, 32k or 1m", id="a context no model has"),
        pytest.param((*H20[1:], "--context", "0"), "write one such as 4096, 32k or 1m", id="no context"),
        pytest.param((*H20[1:], "--memory", "96"), "has no unit; write a memory size such as 16GiB", id="a memory"),
    ],
)
def test_a_wrong_word_is_told_with_what_would_be_right(command: Command, arguments: tuple[str, ...], says: str) -> None:
    assert says in command.refused("fit", *arguments)
