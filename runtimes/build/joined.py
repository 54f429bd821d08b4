"""Two quantized matrices that multiply the same vector become one: gate and up of every gated layer.

A decode step is short multiplications by the dozen, and each pays for waking the threads; fewer and larger ones are
faster, and every number stays what it was. Called by `runtimes.build.fuse`.
"""

from __future__ import annotations

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

GATE, UP, BOTH = "/gate_proj/", "/up_proj/", "/gate_up_proj/"


def join_gates(graph: GraphProto) -> int:
    """Joins every gate with its up projection, where both are quantized alike; returns how many were joined."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    nodes = {node.name: node for node in graph.node if node.op_type == "MatMulNBits"}
    joined = 0
    for name, gate in nodes.items():
        up = nodes.get(name.replace(GATE, UP))
        if GATE in name and up is not None and _alike(gate, up, weights):
            _join(graph, gate, up, weights)
            joined += 1
    return joined


def _alike(gate: NodeProto, up: NodeProto, weights: dict[str, TensorProto]) -> bool:
    """Whether both read the same vector and differ in nothing but their weights."""
    return (
        gate.input[0] == up.input[0]
        and sorted(map(str, gate.attribute)) == sorted(map(str, up.attribute))
        and [name in weights for name in gate.input[1:]] == [name in weights for name in up.input[1:]]
        and all(name in weights for name in gate.input[1:] if name)
    )


def _join(graph: GraphProto, gate: NodeProto, up: NodeProto, weights: dict[str, TensorProto]) -> None:
    names = [gate.input[0]]
    for first, second in zip(gate.input[1:], up.input[1:], strict=True):
        name = first and first.replace("gate_proj", "gate_up_proj")
        names.append(name)
        if name:
            rows = [numpy_helper.to_array(weights[part]) for part in (first, second)]  # outputs are the first axis
            graph.initializer.append(numpy_helper.from_array(np.concatenate(rows), name))
            graph.initializer.remove(weights[first])
            graph.initializer.remove(weights[second])
    settings = {entry.name: helper.get_attribute_value(entry) for entry in gate.attribute}
    settings["N"] *= 2
    whole = gate.name.replace(GATE, BOTH)
    both = helper.make_node("MatMulNBits", names, [f"{whole}/output_0"], name=whole, domain=gate.domain, **settings)
    parts = helper.make_node(
        "Split", list(both.output), [gate.output[0], up.output[0]], name=f"{whole}/Split", axis=-1, num_outputs=2
    )
    gate.CopyFrom(both)  # in place: nodes stay in order
    up.CopyFrom(parts)
