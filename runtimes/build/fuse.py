"""A Hugging Face directory to the fused, quantized decoder graph that the edge engine runs.

The graph comes in float32 from `runtimes.build.families`: GroupQueryAttention with past and present sharing one
buffer, and logits of the last position only, so that a prompt does not pay for the head at every token. Every matrix,
the head included, then becomes MatMulNBits (block 32, accuracy level 4, symmetric) of 4 or 8 bits; the embedding table
becomes 8-bit blocks that are looked up, never multiplied. What the graph is worth is measured in
`runtimes.build.evaluate`. Called by `runtimes.build.worker`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, DefaultWeightOnlyQuantizer
from onnxruntime.quantization.quant_utils import QuantFormat

from runtimes.build.families import fused_float32

GRAPH_FILE = "model.onnx"
WEIGHTS_FILE = "model.onnx.data"
BLOCK = 32
SENSITIVE_BITS = 8
INT8_ACCURACY = 4  # activations are quantized to 8 bits per block: the fast kernels on AVX-512 VNNI and ARM dot product
PRUNE_NODES = ("/lm_head/prune/Gather", "/lm_head/prune/Unsqueeze")
EMBEDDING = "model.embed_tokens.weight"
ROTARY_CACHES = ("cos_cache", "sin_cache")

Advanced = Callable[[int, int], None]


def write_fused(source: Path, folder: Path, bits: int, advanced: Advanced) -> int:
    """Writes `model.onnx` and `model.onnx.data`.

    Args:
        source: Hugging Face directory with `config.json` and safetensors.
        folder: where the two files go.
        bits: 4 or 8, of every matrix.
        advanced: called with matrices done and matrices in all.

    Returns:
        Bytes read for every decoded token: quantized weights, scales, norms and head.
    """
    model = fused_float32(source, folder)
    _quantize_matrices(model.graph, bits, advanced)
    _quantize_embedding(model.graph)
    weights_bytes = sum(len(tensor.raw_data) for tensor in _read_per_token(model.graph))
    onnx.save_model(
        model,
        str(folder / GRAPH_FILE),
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=WEIGHTS_FILE,
        size_threshold=1024,
    )
    return weights_bytes


def write_unpruned(folder: Path, graph_file: str) -> Path:
    """Writes a second graph over the same weights file that gives logits at every position, for evaluation."""
    model = onnx.load_model(str(folder / GRAPH_FILE), load_external_data=False)
    gather, unsqueeze = (next(node for node in model.graph.node if node.name == name) for name in PRUNE_NODES)
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            if name == unsqueeze.output[0]:
                node.input[index] = gather.input[0]
    model.graph.node.remove(gather)
    model.graph.node.remove(unsqueeze)
    logits = next(output for output in model.graph.output if output.name == "logits")
    logits.type.tensor_type.shape.dim[1].dim_param = "sequence_length"
    del model.graph.value_info[:]
    path = folder / graph_file
    path.write_bytes(model.SerializeToString())
    return path


def _quantize_matrices(graph: GraphProto, least_bits: int, advanced: Advanced) -> None:
    last = max(int(node.name.split("/")[2].removeprefix("layers.")) for node in graph.node if "/layers." in node.name)
    sensitive = ("/lm_head/", "/model/layers.0/", f"/model/layers.{last}/")
    weights = {tensor.name: tensor for tensor in graph.initializer}
    matrices = [node for node in graph.node if node.op_type == "MatMul" and node.input[1] in weights]
    for done, node in enumerate(matrices, start=1):
        bits = max(least_bits, SENSITIVE_BITS if node.name.startswith(sensitive) else 0)
        weight = weights[node.input[1]]
        matrix = numpy_helper.to_array(weight)
        packed, scales, _ = _quantizer(bits).qbits_block_quant(np.ascontiguousarray(matrix))
        names = [f"{weight.name}_q{bits}", f"{weight.name}_scales"]
        graph.initializer.extend(
            [numpy_helper.from_array(packed, names[0]), numpy_helper.from_array(scales, names[1])],
        )
        graph.initializer.remove(weight)
        _replace(
            node,
            helper.make_node(
                "MatMulNBits",
                [node.input[0], *names],
                list(node.output),
                name=node.name,
                domain="com.microsoft",
                K=matrix.shape[0],
                N=matrix.shape[1],
                bits=bits,
                block_size=BLOCK,
                accuracy_level=INT8_ACCURACY,
            ),
        )
        advanced(done, len(matrices))


def _quantizer(bits: int) -> DefaultWeightOnlyQuantizer:
    return DefaultWeightOnlyQuantizer(
        DefaultWeightOnlyQuantConfig(
            block_size=BLOCK,
            is_symmetric=True,
            accuracy_level=INT8_ACCURACY,
            quant_format=QuantFormat.QOperator,
            op_types_to_quantize=("MatMul",),
            bits=bits,
        )
    )


def _quantize_embedding(graph: GraphProto) -> None:
    """Turns the looked-up table into 8-bit blocks with float scales; rows that blocks do not divide stay."""
    weight = next(tensor for tensor in graph.initializer if tensor.name == EMBEDDING)
    table = numpy_helper.to_array(weight)
    if table.shape[1] % BLOCK:
        return
    packed, scales = eight_bit_rows(table)
    names = [f"{EMBEDDING}_q8", f"{EMBEDDING}_scales"]
    graph.initializer.extend([numpy_helper.from_array(packed, names[0]), numpy_helper.from_array(scales, names[1])])
    graph.initializer.remove(weight)
    node = next(node for node in graph.node if node.op_type == "Gather" and node.input[0] == EMBEDDING)
    _replace(
        node,
        helper.make_node(
            "GatherBlockQuantized",
            [names[0], node.input[1], names[1]],
            list(node.output),
            name=node.name,
            domain="com.microsoft",
            bits=8,
            block_size=BLOCK,
            gather_axis=0,
            quantize_axis=1,
        ),
    )


def eight_bit_rows(table: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Blocks of 32 weights along each row, symmetric around 128.

    Returns:
        Packed weights of the table's shape, and scales of shape [rows, columns / 32].
    """
    rows, columns = table.shape
    blocks = table.reshape(rows, columns // BLOCK, BLOCK)
    scales = np.abs(blocks).max(axis=2) / np.float32(127)
    safe = np.where(scales == 0, np.float32(1), scales)
    packed = (np.rint(blocks / safe[:, :, None]) + 128).astype(np.uint8)
    return packed.reshape(rows, columns), scales.astype(np.float32)


def _replace(old: NodeProto, new: NodeProto) -> None:
    old.Clear()
    old.CopyFrom(new)


def _read_per_token(graph: GraphProto) -> Iterator[TensorProto]:
    """Initializers that a decode step reads in full: all but the looked-up tables."""
    for tensor in graph.initializer:
        if not tensor.name.startswith((EMBEDDING, *ROTARY_CACHES)):
            yield tensor
