"""`headwater models import`: what it prints, what it writes, and what it will not overwrite."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from headers import in_bf16, write_safetensors
from weights import WEIGHTS

if TYPE_CHECKING:
    from conftest import Command

CONFIG = {
    "model_type": "deepseek_v3",
    "architectures": ["DeepseekV3ForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 96,
    "moe_intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "first_k_dense_replace": 1,
    "q_lora_rank": 24,
    "kv_lora_rank": 32,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 16,
    "v_head_dim": 16,
    "vocab_size": 200,
    "max_position_embeddings": 4096,
    "torch_dtype": "bfloat16",
}
ATTENTION = 64 * 24 + 24 + 24 * 4 * 24 + 64 * 40 + 32 + 32 * 4 * 32 + 4 * 16 * 64
EXPERT = 3 * 64 * 32
REST = 2 * 200 * 64 + 64 + 3 * (ATTENTION + 2 * 64) + 3 * 64 * 96 + 2 * (8 * 64 + EXPERT)


@pytest.fixture
def config(command: Command) -> Path:
    path = command.folder / "tiny-moe"
    path.mkdir()
    (path / "config.json").write_text(json.dumps(CONFIG))
    return path / "config.json"


def test_figures_and_card_are_printed_for_programs(command: Command, config: Path) -> None:
    value = json.loads(command.run("models", "import", config, "--output", "json").stdout)

    assert value["totalParameters"] == REST + 2 * 8 * EXPERT
    assert value["activeParameters"] == REST + 2 * 2 * EXPERT
    assert value["activeParametersWithoutTables"] == REST + 2 * 2 * EXPERT - 2 * 200 * 64
    assert (value["kvBytesPerToken"], value["indexBytesPerToken"], value["stateBytesPerSequence"]) == (240, 0, 0)
    assert value["weightBytes"]["bf16"] == 2 * value["totalParameters"]
    assert value["contextTokens"] == 4096
    assert value["card"]["metadata"]["name"] == value["name"] == "tiny-moe"
    assert yaml.safe_load(command.run("models", "import", config, "-o", "yaml").stdout) == value


def test_people_get_a_table(command: Command) -> None:
    said = command.run("models", "import", WEIGHTS, "--name", "mine").stdout

    assert "Model mine" in said
    for words in ("134,515,008", "23,040 B", "8,192 tokens", "Q4_1 63.3 MiB", "llama, Apache-2.0"):
        assert words in said


def test_a_saved_card_is_part_of_the_catalog(command: Command) -> None:
    first = command.run("models", "import", WEIGHTS, "--name", "mine", "--save")
    path = command.home / "catalog" / "imported" / "mine.yaml"
    before = path.read_bytes()
    again = command.run("models", "import", WEIGHTS, "--name", "mine", "--save")

    assert f"written: {path}" in first.stderr
    assert f"unchanged: {path}" in again.stderr
    assert path.read_bytes() == before
    assert command.run("models", "show", "mine", "-o", "json").stdout.count("134515008") > 0


PLAN = """\
apiVersion: headwater.dev/v1alpha1
kind: ModelService
metadata: {name: own}
spec:
  teacher: {model: own-moe}
  demand: {rate: 1/s, input: 100, output: 100}
---
apiVersion: headwater.dev/v1alpha1
kind: Site
metadata: {name: cloud}
spec: {role: cloud, region: cn, fleet: none, pools: [{profile: nvidia-h20, chips: 8, price: 1/h}]}
"""


def test_a_card_that_says_where_its_weights_are_can_be_planned(command: Command, config: Path) -> None:
    file = command.write(PLAN, "own.yaml")
    own = ("models", "import", config, "--name", "own-moe", "--save")

    command.run(*own)
    nowhere = json.loads(command.run("plan", file, "--output", "json", code=1).stdout)["tiers"][0]
    command.run(*own, "--hub", "lab/own-moe", "--force")
    placed = json.loads(command.run("plan", file, "--output", "json").stdout)["tiers"][0]

    assert any(no.get("hint", "").endswith("as `hub: org/name`") for no in nowhere["rejected"])
    assert placed["groups"][0]["checkpoint"] == "lab/own-moe"


def test_a_card_that_says_something_else_is_not_overwritten_without_a_word(command: Command, config: Path) -> None:
    command.run("models", "import", WEIGHTS, "--name", "mine", "--save")

    said = command.refused("models", "import", config, "--name", "mine", "--save")
    assert "mine.yaml holds another card; choose another --name, or replace it with --force" in said
    command.run("models", "import", config, "--name", "mine", "--save", "--force")
    assert "deepseek" in (command.home / "catalog" / "imported" / "mine.yaml").read_text()


def test_a_model_that_ships_is_not_shadowed_without_a_word(command: Command, config: Path) -> None:
    said = command.refused("models", "import", config, "--name", "qwen3-0.6b", "--save")

    assert "qwen3-0.6b is a model of the catalog that ships" in said


def test_a_card_may_go_to_a_file(command: Command, config: Path) -> None:
    to = command.folder / "cards" / "mine.yaml"
    command.run("models", "import", config, "--licence", "MIT", "--to", to)

    assert yaml.safe_load(to.read_text())["spec"]["licence"]["spdx"] == "MIT"
    assert "not both" in command.refused("models", "import", config, "--to", to, "--save")


def test_weights_and_configuration_of_two_models_are_refused(command: Command, config: Path) -> None:
    write_safetensors(config.parent / "model.safetensors", in_bf16({"model.embed_tokens.weight": (200, 64)}))

    said = command.refused("models", "import", config.parent, "--save")
    assert "describes" in said
    assert "its weights hold 12,800; one of them is wrong" in said


@pytest.mark.parametrize(
    ("source", "code", "sentence"),
    [
        ("absent", 1, "absent: no such file or folder"),
        ("hf://no", 1, "hf://organisation/name"),
        ("hf://org/name", 3, "HF_HUB_OFFLINE is set"),
        (__file__, 1, "a folder, config.json, a .safetensors or .gguf file"),
    ],
)
def test_a_source_with_nothing_to_read_is_refused(command: Command, source: str, code: int, sentence: str) -> None:
    assert sentence in command.refused("models", "import", source, code=code)
