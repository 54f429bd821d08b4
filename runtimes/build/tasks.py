"""What a model is for, by the architecture its config.json names, and how its graph may be quantized.

Data and look-ups only; imports no build tool. Decoders are in `runtimes.build.architectures`. Each family here is
exported and compared in the tests. Called by `runtimes.build.directory` and `runtimes.build.build`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from runtimes.errors import Refused

GENERATION = "generation"
EMBEDDING = "embedding"
# Hugging Face architecture -> task
TASKS = {"BertModel": EMBEDDING, "RobertaModel": EMBEDDING, "XLMRobertaModel": EMBEDDING}
QUANTIZATIONS_OF = {GENERATION: ("int4", "int8"), EMBEDDING: ("int8", "fp32")}


def first_architecture(config: Mapping[str, object]) -> str:
    """The architecture that a config.json names; `none` when it names none."""
    named = config.get("architectures")
    return str(named[0]) if isinstance(named, list) and named else "none"


def task_of(source: Path) -> str:
    """The task of a source that `runtimes.build.sources.check_source` has accepted."""
    if not source.is_dir():
        return GENERATION  # a GGUF file
    return TASKS.get(first_architecture(json.loads((source / "config.json").read_text(encoding="utf-8"))), GENERATION)


def check_quantization(task: str, quantization: str) -> None:
    """Raises Refused when graphs of a task are not built like that."""
    if quantization not in QUANTIZATIONS_OF[task]:
        have = " or ".join(QUANTIZATIONS_OF[task])
        raise Refused(f"a model for {task} is built as {have}, not as {quantization}; ask for one of these")
