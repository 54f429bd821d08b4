"""The reference: optimum's unfused float32 export, and how it reads the evaluation text.

It is what the quantized graph is compared with, built by other code than the fused graph. Its reading depends only on
the source, so it is kept beside the artifacts and reused for the next quantization. Called by `runtimes.build.worker`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from optimum.exporters.onnx import onnx_export_from_model
from optimum.exporters.onnx.model_configs import LlamaOnnxConfig, register_tasks_manager_onnx
from optimum.onnxruntime import ORTModelForCausalLM
from transformers import AutoConfig, AutoModelForCausalLM

from runtimes.build.evaluate import Advanced, Logits, Reading, read
from runtimes.errors import Invalid

NAME = "optimum ORTModelForCausalLM, unfused float32"

# optimum does not list this family; its inputs and outputs are those of a Llama
register_tasks_manager_onnx("ernie4_5", "text-generation", "text-generation-with-past")(LlamaOnnxConfig)


def read_reference(
    source: Path, work: Path, windows: Sequence[list[int]], advanced: Callable[[str], Advanced]
) -> Reading:
    """Exports the model with optimum and reads the windows.

    Args:
        source: Hugging Face directory.
        work: empty folder for the export; it needs room for all weights in float32.
        windows: token ids.
        advanced: gives the progress callback of a named step.

    Raises:
        Invalid: weights are missing from the source, so part of the model would be random.
    """
    step = advanced("export reference")
    step(0, 2)
    model, loading = AutoModelForCausalLM.from_pretrained(
        source,
        dtype=torch.float32,
        use_safetensors=True,
        trust_remote_code=False,
        output_loading_info=True,
        attn_implementation=_attention(source),
    )
    if missing := sorted([*loading["missing_keys"], *(name for name, *_ in loading["mismatched_keys"])]):
        raise Invalid(f"{source.name}: {len(missing)} weights are missing or misshapen, the first is {missing[0]}")
    step(1, 2)
    with torch.no_grad():
        onnx_export_from_model(model, work, task="text-generation", no_post_process=True, do_validation=False)
    del model
    step(2, 2)
    session = ORTModelForCausalLM.from_pretrained(work, use_cache=False, use_io_binding=False)

    def logits(ids: list[int]) -> Logits:
        tokens = torch.tensor([ids], dtype=torch.int64)
        found = session(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits
        return np.asarray(found[0].numpy(), dtype=np.float32)

    return read(windows, logits, advanced("read with reference"))


def _attention(source: Path) -> str | None:
    """How transformers is to compute attention: its usual way (None) leaves out the softcap of Gemma 2."""
    config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    return "eager" if getattr(config, "attn_logit_softcapping", None) else None


def load_reading(path: Path, windows: Sequence[list[int]]) -> Reading | None:
    """A kept reading, if it is there, whole and of the same windows."""
    try:
        kept = json.loads(path.read_text())
        reading = Reading(float(kept["perplexity"]), tuple(int(choice) for choice in kept["choices"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return reading if kept.get("windows") == _digest(windows) else None


def keep_reading(path: Path, windows: Sequence[list[int]], reading: Reading) -> None:
    """Writes a reading in one step, so that a reader sees all of it or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(json.dumps(asdict(reading) | {"windows": _digest(windows)}))
    partial.replace(path)


def _digest(windows: Sequence[list[int]]) -> str:
    return hashlib.sha256(json.dumps(windows).encode()).hexdigest()
