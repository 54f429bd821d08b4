"""Cards from folders and files: what they say, and where configuration and weights must agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from headers import gguf_of, in_bf16, write_gguf, write_safetensors
from weights import WEIGHTS

from orchestrator.adapters.imports.card import Imported, import_model, slug
from orchestrator.adapters.imports.licences import licence_in, licence_of
from orchestrator.adapters.imports.view import card_text, card_values, import_view
from orchestrator.api.architecture import Architecture, Dense, GroupedAttention, Layers
from orchestrator.api.load import load
from orchestrator.core.architecture import parameters
from orchestrator.errors import HeadwaterError, Invalid, Refused

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 200,
    "max_position_embeddings": 256,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
NEW = {"model_type": "new", "architectures": ["NewForCausalLM"]}
TOTAL = 2 * 200 * 64 + 64 + 3 * (64 * 64 * 2 + 2 * 32 * 64 + 3 * 64 * 96 + 2 * 64)
KV = 3 * 2 * 2 * 16 * 2


def shapes(**more: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """The tensors of the configuration."""
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (200, 64), "lm_head.weight": (200, 64)}
    found["model.norm.weight"] = (64,)
    for layer in range(3):
        at = f"model.layers.{layer}."
        found |= {f"{at}self_attn.{name}_proj.weight": (64, 64) for name in ("q", "o")}
        found |= {f"{at}self_attn.{name}_proj.weight": (32, 64) for name in ("k", "v")}
        found |= {f"{at}mlp.{name}_proj.weight": (96, 64) for name in ("gate", "up")}
        found |= {f"{at}mlp.down_proj.weight": (64, 96)}
        found |= {f"{at}{name}_layernorm.weight": (64,) for name in ("input", "post_attention")}
    return found | {name.replace("__", "."): shape for name, shape in more.items()}


def folder(path: Path, config: dict[str, Any] | None, weights: dict[str, tuple[int, ...]] | None = None) -> Path:
    path.mkdir()
    if config is not None:
        (path / "config.json").write_text(json.dumps(config))
    if weights is not None:
        write_safetensors(path / "model.safetensors", in_bf16(weights))
    return path


def architecture(found: Imported) -> Architecture:
    assert found.card.spec.architecture is not None
    return found.card.spec.architecture


def test_a_folder_says_dimensions_and_what_its_headers_hold(tmp_path: Path) -> None:
    found = import_model(str(folder(tmp_path / "My Model_v1.5", CONFIG, shapes())))
    spec = found.card.spec

    assert found.card.metadata.name == "my-model-v1.5"
    assert (spec.native, spec.native_format, spec.context, spec.family) == ("bf16", "plain", 256, "llama")
    assert spec.published is not None
    assert (spec.published.total, found.total, parameters(architecture(found)).total) == (TOTAL, TOTAL, TOTAL)
    assert (found.size_bytes, spec.source) == ({"BF16": 2 * TOTAL}, str(tmp_path / "My Model_v1.5"))
    assert (spec.licence.spdx, spec.licence.status, spec.confidence) == ("NOASSERTION", "unverified", "high")


def test_a_bare_configuration_has_no_published_count(tmp_path: Path) -> None:
    found = import_model(str(folder(tmp_path / "Qwen--Qwen9", CONFIG) / "config.json"))

    assert found.card.metadata.name == "qwen-qwen9"
    assert (found.card.spec.published, found.total, found.size_bytes) == (None, None, {})
    assert parameters(architecture(found)).total == TOTAL
    assert found.card.spec.source == ""


def test_an_unknown_architecture_is_read_from_its_tensors(tmp_path: Path) -> None:
    known = import_model(str(folder(tmp_path / "known", CONFIG, shapes())))
    found = import_model(str(folder(tmp_path / "new", CONFIG | NEW, shapes(model__layers__0__new=(7,)))))

    assert architecture(found).layers[0].other == 7
    assert parameters(architecture(found)).total == parameters(architecture(known)).total + 7 == found.total
    assert found.card.spec.confidence == "medium"
    assert found.notes[0].startswith("read from its tensors: the architecture is not known")


def test_without_weights_an_unknown_architecture_is_refused_with_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(
        Refused,
        match=r"model_type 'new'.* In a folder with its weights it can be read .*: headwater models import FOLDER",
    ):
        import_model(str(folder(tmp_path / "new", CONFIG | NEW)))


def test_weights_without_a_configuration_are_refused_with_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"give config\.json with num_attention_heads"):
        import_model(str(folder(tmp_path / "bare", None, shapes())))


def test_weights_whose_norms_say_the_size_of_a_head_need_no_configuration(tmp_path: Path) -> None:
    normed = {f"model__layers__{layer}__self_attn__{name}_norm__weight": (16,) for layer in range(3) for name in "qk"}
    path = folder(tmp_path / "bare", None, shapes(**normed)) / "model.safetensors"

    found = import_model(str(path), name="mine", licence="MIT", organisation="me")

    assert import_view(found)["kvBytesPerToken"] == KV
    assert (found.card.metadata.name, found.card.spec.licence.spdx, found.card.spec.organisation) == (
        "mine",
        "MIT",
        "me",
    )
    assert found.card.spec.context is None


def test_draft_layers_and_a_copy_of_a_tied_head_are_not_counted(tmp_path: Path) -> None:
    extra = shapes(model__layers__3__eh_proj__weight=(64, 128), mtp__x__weight=(9, 9))
    found = import_model(str(folder(tmp_path / "m", CONFIG | {"tie_word_embeddings": True}, extra)))

    assert found.total == parameters(architecture(found)).total == TOTAL - 200 * 64


@pytest.mark.parametrize(
    ("more", "agrees"),
    [
        pytest.param({"model__extra": (600,)}, True, id="less than one percent"),
        pytest.param({"model__extra": (60_000,)}, False, id="more than one percent"),
        pytest.param({"model__layers__2__mlp__up_proj__weight": (9, 64)}, False, id="a smaller matrix"),
    ],
)
def test_configuration_and_headers_must_speak_of_one_model(
    tmp_path: Path, more: dict[str, tuple[int, ...]], *, agrees: bool
) -> None:
    path = folder(tmp_path / "m", CONFIG, shapes(**more))
    if agrees:
        assert import_model(str(path)).total == TOTAL + 600
        return
    with pytest.raises(Invalid, match=rf"describes {TOTAL:,} parameters and its weights hold [\d,]+; one of them"):
        import_model(str(path))


def test_a_gguf_file_says_its_licence_and_how_it_is_stored() -> None:
    found = import_model(str(WEIGHTS))

    assert import_view(found)["totalParameters"] == 134_515_008
    assert (found.card.spec.native, found.card.spec.native_format) == ("gguf-q4", "gguf")
    assert (found.card.spec.licence.spdx, found.card.spec.licence.status) == ("Apache-2.0", "secondary")


def test_a_folder_with_one_gguf_model_is_that_model(tmp_path: Path) -> None:
    layers = Layers(
        count=2, grouped=GroupedAttention(heads=4, kv_heads=2, head_dim=16), dense=Dense(intermediate_size=96)
    )
    metadata, tensors = gguf_of(Architecture(hidden_size=64, vocabulary=200, layers=(layers,)))
    write_gguf(tmp_path / "Tiny.gguf", "llama", metadata, tensors)

    assert import_model(str(tmp_path)).card.metadata.name == "tiny"
    write_gguf(tmp_path / "Other.gguf", "llama", metadata, tensors)
    with pytest.raises(Invalid, match="holds 2 GGUF models; give one file"):
        import_model(str(tmp_path))


@pytest.mark.parametrize(
    ("readme", "spdx", "status"),
    [
        ("---\nlicense: apache-2.0\ntags: [x]\n---\n# Hi", "Apache-2.0", "secondary"),
        ("---\nlicense:\n- mit\n---\n", "MIT", "secondary"),
        ("---\r\nlicense: 'llama3.1'\r\n---\r\n", "LicenseRef-Llama-3.1-Community", "secondary"),
        ("---\nlicense: other\nlicense_name: qwen-research\n---", "LicenseRef-Qwen-Research", "secondary"),
        ("---\nlicense: other\nlicense_name: My Own, v2\n---", "LicenseRef-My-Own-v2", "secondary"),
        ("---\nlicense: other\n---", "NOASSERTION", "unverified"),
        ("# no front matter\nlicense: mit", "NOASSERTION", "unverified"),
        ("---\nlicense: mit\n", "NOASSERTION", "unverified"),
        ("", "NOASSERTION", "unverified"),
    ],
)  # fmt: skip
def test_the_licence_is_what_the_readme_says(tmp_path: Path, readme: str, spdx: str, status: str) -> None:
    path = folder(tmp_path / "m", CONFIG, shapes())
    (path / "README.md").write_text(readme)

    licence = import_model(str(path)).card.spec.licence

    assert (licence.spdx, licence.status) == (spdx, status)
    assert licence_in(readme)["spdx"] == spdx


@pytest.mark.parametrize("tag", ["\x00", "((", "x" * 5000, "AND", "🙂", "unknown", "a b"])
def test_a_tag_that_is_no_licence_still_makes_a_card(tmp_path: Path, tag: str) -> None:
    path = folder(tmp_path / "m", CONFIG, shapes())
    (path / "README.md").write_text(f"---\nlicense: {tag}\n---")

    assert import_model(str(path)).card.spec.licence.spdx == licence_of(tag)["spdx"]


def test_a_card_reads_back_as_it_was_written(tmp_path: Path) -> None:
    card = import_model(str(folder(tmp_path / "m", CONFIG, shapes()))).card

    (back,) = load(card_text(card), "card.yaml")

    assert back.document == card
    assert card_values(card)["spec"]["architecture"]["layers"][0]["count"] == 3


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        pytest.param("absent", "no such file or folder", id="nothing there"),
        pytest.param("empty", "neither config.json nor", id="an empty folder"),
        pytest.param("note.txt", "was expected", id="some other file"),
        pytest.param("ftp://x/y", "was expected", id="some other address"),
        pytest.param("model-00001-of-00002.safetensors", "give the folder", id="one shard"),
        pytest.param("list.json", "must hold a JSON object", id="a list"),
        pytest.param("far.json", "larger than 4,194,304 bytes", id="five megabytes"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "note.txt").write_text("hello")
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "far.json").write_bytes(b"{" + b" " * (5 << 20) + b"}")
    write_safetensors(tmp_path / "model-00001-of-00002.safetensors", in_bf16(shapes()))

    with pytest.raises(HeadwaterError, match=sentence) as told:
        import_model(source)
    assert str(told.value).startswith(f"{source}: ")


def test_a_name_may_be_anything_and_becomes_one_that_documents_have() -> None:
    assert [slug(name) for name in ("Qwen3-8B", "..", "é", "A" * 80, "a/../b", "-x-")] == [
        "qwen3-8b", "model", "model", "a" * 56, "a-..-b", "x"
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "licence"), [("Not A Name", None), (None, "no licence at all ((")])
def test_what_the_user_states_is_checked_too(tmp_path: Path, name: str | None, licence: str | None) -> None:
    with pytest.raises(Invalid, match=r"name|licence"):
        import_model(str(folder(tmp_path / "m", CONFIG, shapes())), name=name, licence=licence)
