"""A Hugging Face directory to the fused, quantized decoder graph that the edge engine runs.

The graph comes in float32 from `runtimes.build.families`: GroupQueryAttention with past and present sharing one
buffer, and logits where they are asked for, so that a prompt does not pay for the head at every token. Its matrices are
quantized in `runtimes.build.quantize`, and what the graph is worth is measured in
`runtimes.build.evaluate`. Called by `runtimes.build.worker`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import onnx

from runtimes.build.families import fused_float32
from runtimes.build.joined import join_gates
from runtimes.build.quantize import SENSITIVE_BITS, quantize_embedding, quantize_matrices, read_per_token
from runtimes.build.scored import score_where_asked
from runtimes.build.strengths import input_strengths

GRAPH_FILE = "model.onnx"
WEIGHTS_FILE = "model.onnx.data"

Advanced = Callable[[int, int], None]


def write_fused(
    source: Path, folder: Path, bits: int, windows: Sequence[list[int]], advanced: Callable[[str], Advanced]
) -> int:
    """Writes `model.onnx` and `model.onnx.data`.

    Args:
        source: Hugging Face directory with `config.json` and safetensors.
        folder: where the two files go.
        bits: 4 or 8, of every matrix.
        windows: the calibration text as token ids; 8 bits need none of it.
        advanced: gives the progress callback of a named step.

    Returns:
        Bytes read for every decoded token: quantized weights, scales, norms and head.
    """
    model = fused_float32(source, folder)
    score_where_asked(model.graph)
    narrow = bits < SENSITIVE_BITS
    strengths = input_strengths(model, windows, folder, advanced("calibrate")) if narrow else {}
    quantize_matrices(model.graph, bits, strengths, advanced("quantize"))
    quantize_embedding(model.graph)
    join_gates(model.graph)
    weights_bytes = sum(len(tensor.raw_data) for tensor in read_per_token(model.graph))
    onnx.save_model(
        model,
        str(folder / GRAPH_FILE),
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=WEIGHTS_FILE,
        size_threshold=1024,
    )
    return weights_bytes
