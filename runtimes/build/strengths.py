"""How strong each input of each matrix is on the calibration text: what an error in a weight is multiplied by.

The float32 graph reads a text that was written for this and shares nothing with the evaluation text: prose, dialogue,
code, tables, letters and several languages. The sums are made inside the graph, so that no activation leaves it. A
change of the text is a change of the recipe (`runtimes.build.cache.RECIPE`). Called by `runtimes.build.fuse`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from runtimes.build.evaluate import Advanced
from runtimes.build.quantize import matrices_of
from runtimes.build.resident import feeds_of, open_graph

GRAPH_FILE, WEIGHTS_FILE = "strengths.onnx", "strengths.onnx.data"
SUM = "/sum_of_squares"
AXES = "sum_of_squares_axes"


def calibration_text() -> str:
    """The shipped text that scales are chosen on."""
    return resources.files("runtimes.build").joinpath("calibration.txt").read_text(encoding="utf-8")


def input_strengths(
    model: ModelProto, windows: Sequence[list[int]], work: Path, advanced: Advanced
) -> dict[str, NDArray[np.float32]]:
    """Reads the windows with a float32 graph.

    Args:
        model: the fused graph; unchanged afterwards.
        windows: token ids.
        work: folder with room for the graph's weights; what is written there is removed again.
        advanced: called with windows done and windows in all.

    Returns:
        By name of a matrix's weights, the mean square of each of its inputs, shape [inputs].
    """
    sources = {weight.name: node.input[0] for node, weight in matrices_of(model.graph)}
    read = list(dict.fromkeys(sources.values()))
    totals: dict[str, NDArray[np.float64]] = {}
    with TemporaryDirectory(dir=work) as folder:
        session = open_graph(str(_summing(model, read, Path(folder))))
        for done, window in enumerate(windows, start=1):
            feeds = feeds_of(session, window, range(len(window)))
            for name, squares in zip(read, session.run([name + SUM for name in read], feeds), strict=True):
                totals[name] = totals.get(name, np.float64(0)) + np.asarray(squares, np.float64)
            advanced(done, len(windows))
        del session
        onnx.load_external_data_for_model(model, folder)
    tokens_read = sum(len(window) for window in windows)
    return {weight: (totals[source] / tokens_read).astype(np.float32) for weight, source in sources.items()}


def _summing(model: ModelProto, read: Sequence[str], folder: Path) -> Path:
    """Writes the graph with a sum of squares of each of these as its only outputs; the model's weights leave memory."""
    path = folder / GRAPH_FILE
    onnx.save_model(model, str(path), save_as_external_data=True, location=WEIGHTS_FILE, size_threshold=1024)
    summing = onnx.load_model(str(path), load_external_data=False)
    graph = summing.graph
    graph.initializer.append(helper.make_tensor(AXES, TensorProto.INT64, [2], [0, 1]))
    graph.node.extend(
        helper.make_node("ReduceSumSquare", [name, AXES], [name + SUM], name=name + SUM, keepdims=0) for name in read
    )
    del graph.output[:], graph.value_info[:]
    graph.output.extend(helper.make_tensor_value_info(name + SUM, TensorProto.FLOAT, None) for name in read)
    path.write_bytes(summing.SerializeToString())
    return path
