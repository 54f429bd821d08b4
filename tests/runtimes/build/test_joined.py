"""Gate and up in one multiplication: fewer nodes, the same numbers."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from runtimes.build.joined import join_gates

HIDDEN, INNER, BLOCK = 64, 96, 32


def gated(*, asymmetric: bool = False, up_bits: int = 4) -> onnx.ModelProto:
    """x -> gate(x) * up(x), quantized with random weights."""
    rng = np.random.default_rng(5)
    nodes, tensors = [], []
    for part, bits in (("gate", 4), ("up", up_bits)):
        blocks = HIDDEN // BLOCK
        arrays = {
            "weight": rng.integers(0, 256, (INNER, blocks, BLOCK * bits // 8), dtype=np.uint8),
            "scales": rng.random((INNER, blocks), dtype=np.float32),
        }
        if asymmetric:
            arrays["zeros"] = rng.integers(0, 256, (INNER, blocks * bits // 8), dtype=np.uint8)
        names = [f"model.layers.0.mlp.{part}_proj.{name}" for name in arrays]
        tensors += [numpy_helper.from_array(array, name) for name, array in zip(names, arrays.values(), strict=True)]
        nodes.append(
            helper.make_node(
                "MatMulNBits",
                ["x", *names],
                [part],
                name=f"/model/layers.0/mlp/{part}_proj/MatMul",
                domain="com.microsoft",
                K=HIDDEN,
                N=INNER,
                bits=bits,
                block_size=BLOCK,
                accuracy_level=4,
            )
        )
    nodes.append(helper.make_node("Mul", ["gate", "up"], ["y"], name="/model/layers.0/mlp/Mul"))
    graph = helper.make_graph(
        nodes,
        "gated",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", HIDDEN])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", INNER])],
        tensors,
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def answers(model: onnx.ModelProto) -> list[np.ndarray]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(7)
    return [session.run(None, {"x": rng.standard_normal((rows, HIDDEN), np.float32)})[0] for rows in (1, 2, 9)]


@pytest.mark.parametrize("asymmetric", [False, True])
def test_joined_they_give_the_same_numbers(asymmetric: bool) -> None:  # noqa: FBT001 a table's column
    apart, together = gated(asymmetric=asymmetric), gated(asymmetric=asymmetric)

    assert join_gates(together.graph) == 1

    assert [node.op_type for node in together.graph.node] == ["MatMulNBits", "Split", "Mul"]
    assert all(np.array_equal(one, other) for one, other in zip(answers(apart), answers(together), strict=True))


def test_matrices_quantized_unlike_stay_apart() -> None:
    model = gated(up_bits=8)
    before = model.SerializeToString()

    assert join_gates(model.graph) == 0
    assert model.SerializeToString() == before
