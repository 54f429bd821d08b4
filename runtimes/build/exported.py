"""What happens to graphs that optimum exported, whatever they do: 8 bits, their place in the artifact, their memory.

Quantized weights are 8-bit and unsigned, one scale a channel: signed ones saturate on x86 processors without VNNI.
Activations are quantized while the graph runs. Called by `runtimes.build.encoders`, `runtimes.build.classifiers` and
`runtimes.build.speech`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import onnx
from optimum.onnxruntime import ORTQuantizer
from optimum.onnxruntime.configuration import AutoQuantizationConfig

from runtimes.build.evaluate import Advanced
from runtimes.build.job import Progress
from runtimes.errors import Refused

GRAPH_FILE = "model.onnx"
INT8_BITS = 8
LOOKUPS_AND_MATRICES = ["MatMul", "Gemm", "Gather"]


def in_eight_bits(graph: Path, target: Path, *, operators: list[str] | None = None) -> Path:
    """Quantizes a graph.

    Args:
        graph: an exported file.
        target: folder for the result, which has the same name.
        operators: kinds that are quantized; all that can be, if not given.

    Returns:
        The quantized file.
    """
    quantizer = ORTQuantizer.from_pretrained(graph.parent, file_name=graph.name)
    settings = AutoQuantizationConfig.avx2(is_static=False, per_channel=True, operators_to_quantize=operators)
    quantizer.quantize(quantization_config=settings, save_dir=target, file_suffix=None)
    return target / graph.name


def settle(graph: Path, place: Path) -> None:
    """Moves a graph to its place in the artifact; weights that lie beside it get the new name too."""
    if not list(graph.parent.glob(f"{graph.name}[._]*")):
        shutil.move(graph, place)
        return
    onnx.save_model(onnx.load(graph), place, save_as_external_data=True, location=f"{place.name}_data")


def weights_bytes(folder: Path) -> int:
    """Bytes of all graphs in a folder."""
    return sum(file.stat().st_size for file in folder.glob("*.onnx*"))


def resident_bytes(*arguments: str) -> int:
    """Memory of a fresh process that runs what `runtimes.build.resident` is told.

    Raises:
        Refused: it does not run.
    """
    command = [sys.executable, "-P", "-m", "runtimes.build.resident", *arguments]
    run = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 our own module
    if run.returncode:
        sys.stderr.write(run.stderr)
        raise Refused("the finished graph does not load in a fresh process")
    return int(run.stdout)


def advanced(progress: Progress, name: str) -> Advanced:
    """Tells how far a named step is."""
    return lambda done, total: progress.step(name, total=total, done=done)
