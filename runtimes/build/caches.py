"""Keys and values in eight bits: a quarter of the memory, and less to read at every step of a long answer.

Each channel of each head has its own scale, from what the model keeps while it reads the calibration text. The graph
computes the same bits whether tokens come one by one or together, since every key and value is rounded on its way into
the cache. Whether the model bears it is measured in `runtimes.build.worker`, its only caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from runtimes.build.resident import feeds_of, open_graph

LARGEST = 127
MARGIN = 1.1  # text to come may go further than the calibration text
K_SCALE, V_SCALE = 12, 13  # inputs of GroupQueryAttention

Reach = dict[str, NDArray[np.float32]]


def cache_reach(graph: Path, windows: Sequence[list[int]]) -> Reach:
    """How far from zero every channel of the caches goes.

    Args:
        graph: with float caches.
        windows: token ids to read, each as a fresh sequence.

    Returns:
        By name of the cache, as in `present.0.key`: the largest magnitude, shape [heads, head size].
    """
    session = open_graph(str(graph))
    names = [output.name for output in session.get_outputs() if output.name.startswith("present.")]
    reach: Reach = {}
    for window in windows:
        for name, kept in zip(names, session.run(names, feeds_of(session, window, [0])), strict=True):
            found = np.abs(kept[0]).max(axis=1)
            reach[name] = np.maximum(reach.get(name, found), found)
    return reach


def narrow_caches(graph: Path, reach: Reach) -> None:
    """Rewrites a graph file so that its caches are 8-bit integers; its weights file stays."""
    model = onnx.load_model(str(graph), load_external_data=False)
    for node in model.graph.node:
        if node.op_type == "GroupQueryAttention":
            _narrow(model, node, reach)
    for value in (*model.graph.input, *model.graph.output):
        if value.name.startswith(("past_key_values.", "present.")):
            value.type.tensor_type.elem_type = TensorProto.INT8
    graph.write_bytes(model.SerializeToString())


def _narrow(model: onnx.ModelProto, node: NodeProto, reach: Reach) -> None:
    inputs = [*node.input, *[""] * (V_SCALE + 1 - len(node.input))]
    for place, name in ((K_SCALE, node.output[1]), (V_SCALE, node.output[2])):
        furthest = np.where(reach[name] > 0, reach[name], 1) * np.float32(MARGIN / LARGEST)
        inputs[place] = f"{name}.scale"
        scale = np.ascontiguousarray(furthest[None, :, None, :], np.float32)
        model.graph.initializer.append(numpy_helper.from_array(scale, inputs[place]))
    node.input[:] = inputs
    node.attribute.extend(
        helper.make_attribute(name, value)
        for name, value in (
            ("k_quant_type", "PER_CHANNEL"),
            ("v_quant_type", "PER_CHANNEL"),
            ("kv_cache_bit_width", 8),
        )
    )
