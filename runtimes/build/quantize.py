"""The matrices of a float32 decoder graph to blocks of 4 or 8 bits, and the embedding table to 8.

A block is 32 neighbouring weights of one output, with one scale; 4-bit blocks are symmetric around 8, 8-bit blocks
around 128, the layout of MatMulNBits. The scale of a 4-bit block is the one among several that changes the matrix's
product least: an error counts by how strong that input is on the calibration text (`runtimes.build.strengths`). Scales
that only spare the weights themselves made perplexity worse than the largest weight's does. The head, the first and the
last layer are kept in 8 bits. What the graph is worth afterwards is measured in `runtimes.build.evaluate`. Called by
`runtimes.build.fuse`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from runtimes.contract import WeightFormat

BLOCK = 32
SENSITIVE_BITS = 8
INT8_ACCURACY = 4  # activations are quantized to 8 bits per block: the fast kernels on AVX-512 VNNI and ARM dot product
EMBEDDING = "model.embed_tokens.weight"
ROTARY_CACHES = ("cos_cache", "sin_cache")
ROWS_AT_ONCE = 1024  # of a matrix while its scales are searched: bounds memory, not the result
LEAST_STRENGTH = 0.01  # of the mean: an input that the text never uses still counts a little
LEVELS = (
    8.5,
    8.0,
    7.28,
    6.56,
    5.84,
    5.12,
)  # tried for a block's largest weight, before the scale is fitted

Advanced = Callable[[int, int], None]
Floats = NDArray[np.float32]


def weight_format(bits: int) -> WeightFormat:
    """What the manifest says of a graph whose matrices have 4 or 8 bits."""
    return WeightFormat(bits=bits, block=BLOCK, symmetric=True, head_bits=max(bits, SENSITIVE_BITS))


def matrices_of(graph: GraphProto) -> list[tuple[NodeProto, TensorProto]]:
    """Every multiplication by constant weights, with its weights."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    nodes = [node for node in graph.node if node.op_type == "MatMul" and node.input[1] in weights]
    return [(node, weights[node.input[1]]) for node in nodes]


def quantize_matrices(graph: GraphProto, least_bits: int, strengths: Mapping[str, Floats], advanced: Advanced) -> None:
    """Replaces every multiplication by constant weights.

    Args:
        graph: changed in place.
        least_bits: 4 or 8.
        strengths: by matrix, mean square of each of its inputs; one that is absent counts all inputs alike.
        advanced: called with matrices done and matrices in all.
    """
    last = max(int(node.name.split("/")[2].removeprefix("layers.")) for node in graph.node if "/layers." in node.name)
    sensitive = ("/lm_head/", "/model/layers.0/", f"/model/layers.{last}/")
    matrices = matrices_of(graph)
    for done, (node, weight) in enumerate(matrices, start=1):
        bits = max(least_bits, SENSITIVE_BITS if node.name.startswith(sensitive) else 0)
        inputs, outputs = weight.dims
        table = _padded(numpy_helper.to_array(weight).T)
        if bits == SENSITIVE_BITS:
            packed, scales = eight_bit_rows(table)
        else:
            packed, scales = four_bit_rows(table, _strength(strengths.get(weight.name), inputs, table.shape[1]))
        names = [f"{weight.name}_q{bits}", f"{weight.name}_scales"]
        blocks = packed.reshape(outputs, table.shape[1] // BLOCK, BLOCK * bits // 8)
        graph.initializer.extend(
            [numpy_helper.from_array(blocks, names[0]), numpy_helper.from_array(scales, names[1])],
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
                K=inputs,
                N=outputs,
                bits=bits,
                block_size=BLOCK,
                accuracy_level=INT8_ACCURACY,
            ),
        )
        advanced(done, len(matrices))


def quantize_embedding(graph: GraphProto) -> None:
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


def eight_bit_rows(table: Floats) -> tuple[NDArray[np.uint8], Floats]:
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


def four_bit_rows(table: Floats, strength: Floats) -> tuple[NDArray[np.uint8], Floats]:
    """Blocks of 32 weights along each row, symmetric around 8, with the scales that change products least.

    Args:
        table: [rows, columns], columns a multiple of 32.
        strength: [columns], mean square of each input; only proportions matter.

    Returns:
        Packed weights of shape [rows, columns / 2], the lower half of a byte first, and scales [rows, columns / 32].
    """
    rows, columns = table.shape
    weighting = strength.reshape(1, columns // BLOCK, BLOCK)
    packed = np.empty((rows, columns // 2), np.uint8)
    scales = np.empty((rows, columns // BLOCK), np.float32)
    for start in range(0, rows, ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        levels, scales[part] = _fitted(table[part].reshape(-1, columns // BLOCK, BLOCK), weighting)
        stored = (levels + 8).astype(np.uint8).reshape(-1, columns)
        packed[part] = stored[:, 0::2] | (stored[:, 1::2] << 4)
    return packed, scales


def read_per_token(graph: GraphProto) -> Iterator[TensorProto]:
    """Initializers that a decode step reads in full: all but the looked-up tables."""
    for tensor in graph.initializer:
        if not tensor.name.startswith((EMBEDDING, *ROTARY_CACHES)):
            yield tensor


def _fitted(blocks: Floats, weighting: Floats) -> tuple[Floats, Floats]:
    """Levels from -8 to 7 and scales of the best of several tries; each try fits its scale once to its levels."""
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=2)[:, :, None], axis=2)
    largest = np.where(largest == 0, np.float32(1), largest)
    weighted = blocks * weighting
    best = np.full_like(largest, np.inf)
    best_levels, best_scales = np.zeros_like(blocks), np.ones_like(largest)
    for level in (sign * level for level in LEVELS for sign in (-1, 1)):
        first = _levels(blocks, largest / np.float32(level))
        strong = (first * first * weighting).sum(axis=2, keepdims=True)
        fit = (first * weighted).sum(axis=2, keepdims=True) / np.where(strong > 0, strong, np.float32(1))
        scale = np.where((strong > 0) & (fit != 0), fit, largest / np.float32(level))
        levels = _levels(blocks, scale)
        wrong = (weighting * (levels * scale - blocks) ** 2).sum(axis=2, keepdims=True)
        better = wrong < best
        best = np.where(better, wrong, best)
        best_levels, best_scales = np.where(better, levels, best_levels), np.where(better, scale, best_scales)
    return best_levels, best_scales[:, :, 0]


def _levels(blocks: Floats, scale: Floats) -> Floats:
    levels: Floats = np.clip(np.rint(blocks / scale), -8, 7)
    return levels


def _padded(table: Floats) -> Floats:
    """Rows filled up with zeros to whole blocks."""
    return np.ascontiguousarray(np.pad(table, ((0, 0), (0, -table.shape[1] % BLOCK))))


def _strength(measured: Floats | None, inputs: int, columns: int) -> Floats:
    """Strengths of all columns of a padded table, 1 on average."""
    strength = np.ones(columns, np.float32)
    if measured is not None:
        mean = float(measured.mean()) or 1.0
        strength[:inputs] = measured / np.float32(mean) + np.float32(LEAST_STRENGTH)
    return strength


def _replace(old: NodeProto, new: NodeProto) -> None:
    old.Clear()
    old.CopyFrom(new)
