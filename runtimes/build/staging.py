"""A source of any kind, laid out as a Hugging Face directory for the exporters, plus what the edge needs to know.

From GGUF the files are written; from a directory the used files are linked, so that nothing else in it is ever opened.
Called by `runtimes.build.worker`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from runtimes.build.architectures import HEAD_DIM, context_key
from runtimes.build.directory import Json, check_config, read_json, used_files
from runtimes.build.equivalents import write_equivalent
from runtimes.build.gguf_file import read_gguf
from runtimes.build.gguf_tokenizer import special_tokens, write_tokenizer
from runtimes.build.gguf_weights import write_directory
from runtimes.contract import DecoderShape
from runtimes.errors import Invalid

TOKENIZER_FILE = "tokenizer.json"
TEMPLATE_FILE = "chat_template.jinja"


@dataclass(frozen=True, slots=True)
class Staged:
    """A source ready for the exporters.

    Attributes:
        folder: `config.json`, safetensors and `tokenizer.json`.
        shape: what the edge engine must know of the graph.
        template: chat template, empty if the source has none.
    """

    folder: Path
    shape: DecoderShape
    template: str


def stage(kind: str, path: Path, folder: Path, advanced: Callable[[int, int], None]) -> Staged:
    """Lays a source out in `folder`.

    Args:
        kind: `gguf`, `directory` or `hub`.
        path: the GGUF file, or the directory.
        folder: exists and is empty.
        advanced: called with pieces done and pieces in all.

    Raises:
        Invalid, Refused: what the readers of the source say.
    """
    if kind == "gguf":
        gguf = read_gguf(path)
        write_directory(gguf, folder, advanced)
        write_tokenizer(gguf, folder / TOKENIZER_FILE)
        start, end, end_ids = special_tokens(gguf)
        template = gguf.text("tokenizer.chat_template")
        config = read_json(folder / "config.json")
    else:
        link_files(path, folder)
        config = read_json(folder / "config.json")
        check_config(config, path.name)
        config = write_equivalent(config, folder)
        start, end, end_ids = _special_tokens(folder, config)
        template = _template(folder)
        advanced(1, 1)
    return Staged(folder, _shape(config, start, end, end_ids), template)


def link_files(source: Path, folder: Path) -> None:
    """Links every file that the build opens into `folder`, where it lay in the source."""
    for file in used_files(source):
        place = folder / file.relative_to(source)
        place.parent.mkdir(exist_ok=True)
        place.symlink_to(file.resolve())


def _shape(config: Json, start: str, end: str, end_ids: tuple[int, ...]) -> DecoderShape:
    heads = _positive(config, "num_attention_heads")
    names = config.get("architectures")
    family = str(names[0]) if isinstance(names, list) and names else ""
    head_dim = config.get("head_dim", HEAD_DIM.get(family)) or _positive(config, "hidden_size") // heads
    if not isinstance(head_dim, int):
        raise Invalid("config.json: head_dim must be a whole number")
    return DecoderShape(
        layers=_positive(config, "num_hidden_layers"),
        kv_heads=_positive(config, "num_key_value_heads") if "num_key_value_heads" in config else heads,
        head_dim=head_dim,
        vocabulary=_positive(config, "vocab_size"),
        context_tokens=_positive(config, context_key(config)),
        eos_token_ids=end_ids,
        bos_token=start,
        eos_token=end,
    )


def _positive(config: Json, key: str) -> int:
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise Invalid(f"config.json: {key} must be a positive whole number, found {str(value)[:40]}")
    return value


def _special_tokens(folder: Path, config: Json) -> tuple[str, str, tuple[int, ...]]:
    named = read_json(folder / "special_tokens_map.json") | read_json(folder / "tokenizer_config.json")
    start, end = (_content(named.get(key)) for key in ("bos_token", "eos_token"))
    ids = [*_ids(read_json(folder / "generation_config.json")), *_ids(config)]
    tokenizer = read_json(folder / TOKENIZER_FILE)
    added = tokenizer.get("added_tokens")
    ids += [
        token["id"]
        for token in (added if isinstance(added, list) else [])
        if isinstance(token, dict) and end and token.get("content") == end and isinstance(token.get("id"), int)
    ]
    if not ids:
        raise Invalid(f"{folder.name}: neither generation_config.json nor config.json names an eos_token_id")
    return start, end, tuple(dict.fromkeys(ids))


def _ids(settings: Json) -> list[int]:
    value = settings.get("eos_token_id")
    values = value if isinstance(value, list) else [value]
    return [number for number in values if isinstance(number, int) and not isinstance(number, bool) and number >= 0]


def _content(token: object) -> str:
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else ""


def _template(folder: Path) -> str:
    if (folder / TEMPLATE_FILE).is_file():
        return (folder / TEMPLATE_FILE).read_text(encoding="utf-8")
    found = read_json(folder / "tokenizer_config.json").get("chat_template")
    if isinstance(found, list):
        named = {entry.get("name"): entry.get("template") for entry in found if isinstance(entry, dict)}
        found = named.get("default")
    return found if isinstance(found, str) else ""
