"""The heavy part, in this process, on tiny models of every family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from safetensors.numpy import load_file, save_file

from runtimes.build.evaluate import Reading, fused_logits
from runtimes.build.job import Findings, Job
from runtimes.build.worker import as_line, judge, work
from runtimes.errors import Invalid, Refused

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's tracer and the exporters warn at every build


@pytest.fixture(scope="session")
def worked(tmp_path_factory: pytest.TempPathFactory, tiny_model: Callable[[str], Path]):
    """Runs the worker for a family and a number of bits, once each."""
    done: dict[tuple[str, int], tuple[Findings, Path]] = {}

    def run(family: str, bits: int) -> tuple[Findings, Path]:
        if (family, bits) not in done:
            root = tmp_path_factory.mktemp("worked")
            (root / "artifact").mkdir()
            (root / "work").mkdir()
            job = Job(
                kind="directory",
                source=str(tiny_model(family)),
                folder=str(root / "artifact"),
                work=str(root / "work"),
                bits=bits,
                reading=str(tmp_path_factory.getbasetemp() / f"reading-{family}.json"),
            )
            done[family, bits] = work(job, Silent()), root / "artifact"
        return done[family, bits]

    return run


class Silent:
    def step(self, name: str, *, total: int, done: int) -> None:
        assert name
        assert 0 <= done <= total


@pytest.mark.parametrize(
    ("family", "bits", "least_agreement", "most_worse"),
    [
        ("llama", 8, 0.90, 1.01),
        ("llama", 4, 0.55, 1.05),
        ("qwen3", 8, 0.90, 1.01),
        ("qwen3", 4, 0.55, 1.05),
        ("qwen2", 8, 0.90, 1.01),
        ("mistral", 8, 0.90, 1.01),
    ],
)
def test_a_quantized_graph_stays_close_to_the_reference(worked, family, bits, least_agreement, most_worse):
    findings, folder = worked(family, bits)

    assert findings.quality.greedy_agreement >= least_agreement
    assert findings.quality.perplexity <= most_worse * findings.quality.reference_perplexity
    assert {path.name for path in folder.iterdir()} == {
        "chat_template.jinja",
        "model.onnx",
        "model.onnx.data",
        "tokenizer.json",
    }


def test_the_shape_and_the_needs_are_those_of_the_model(worked):
    findings, folder = worked("llama", 8)

    shape = findings.shape
    assert (shape.layers, shape.kv_heads, shape.head_dim, shape.context_tokens) == (4, 2, 16, 128)
    assert (shape.eos_token_ids, shape.bos_token, shape.eos_token) == ((2, 0), "<|im_start|>", "<|im_end|>")
    assert findings.needs.kv_bytes_per_token == 2 * 4 * 2 * 16  # in eight bits
    matrices = 4 * (64 * 128 + 64 * 64 + 3 * 64 * 128) + 64 * shape.vocabulary
    assert findings.needs.weights_bytes == pytest.approx(matrices * 9 / 8 + 9 * 64 * 4, rel=0.01)
    assert findings.needs.resident_bytes > (folder / "model.onnx.data").stat().st_size


def test_fewer_bits_are_fewer_bytes(worked):
    assert worked("llama", 4)[0].needs.weights_bytes < worked("llama", 8)[0].needs.weights_bytes


def test_the_shipped_graph_decodes_in_place_what_it_reads_at_once(worked):
    findings, folder = worked("qwen3", 8)
    ids, room = [5, 9, 77, 120, 31, 8], 16
    shape = findings.shape
    at_once = fused_logits(folder / "model.onnx")(ids)

    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    kept = []
    for layer in range(shape.layers):
        for part in ("key", "value"):
            zeros = np.zeros((1, shape.kv_heads, room, shape.head_dim), shape.kv_dtype)
            kept.append(onnxruntime.OrtValue.ortvalue_from_numpy(zeros))
            binding.bind_ortvalue_input(f"past_key_values.{layer}.{part}", kept[-1])
            binding.bind_ortvalue_output(f"present.{layer}.{part}", kept[-1])
    binding.bind_output("logits")
    for end, chunk in ((4, ids[:4]), (5, ids[4:5]), (6, ids[5:6])):
        binding.bind_cpu_input("input_ids", np.asarray([chunk]))
        binding.bind_cpu_input("attention_mask", np.ones((1, end), np.int64))
        binding.bind_cpu_input("positions", np.asarray([len(chunk) - 1]))
        session.run_with_iobinding(binding)
        (found,) = binding.copy_outputs_to_cpu()[-1:]
        assert found.shape == (1, 1, shape.vocabulary)
        np.testing.assert_allclose(found[0, 0], at_once[end - 1], atol=0.02 * np.abs(at_once).max())


def test_a_graph_that_reads_far_worse_is_not_published():
    with pytest.raises(Refused, match=r"perplexity 90, the reference with 30; more than 2\.0 times worse"):
        judge(Reading(90.0, (1, 2)), Reading(30.0, (1, 2)))
    assert judge(Reading(33.0, (1, 2)), Reading(30.0, (1, 3))).greedy_agreement == 0.5


@pytest.mark.parametrize(
    ("error", "name", "part"),
    [
        (Invalid("a.gguf is empty"), "Invalid", "a.gguf is empty"),
        (OSError(28, "No space left on device"), "Refused", "the disk filled up"),
        (RuntimeError("write failed: No space left on device"), "Refused", "the disk filled up"),
        (MemoryError(), "Refused", "out of memory"),
        (KeyError("lm_head\nmore"), "Refused", "the exporter failed with KeyError"),
    ],
)
def test_whatever_goes_wrong_becomes_one_sentence(error, name, part):
    line = as_line(error)

    assert line.error is not None
    assert line.error[0] == name
    assert part in line.error[1]
    assert "\n" not in line.error[1]


def test_a_model_with_weights_missing_is_refused_not_filled_at_random(tmp_path, tiny_model):
    source = tmp_path / "holed"
    source.mkdir()
    for file in tiny_model("llama").iterdir():
        (source / file.name).write_bytes(file.read_bytes())
    weights = load_file(source / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, source / "model.safetensors", metadata={"format": "pt"})
    for name in ("artifact", "work"):
        (tmp_path / name).mkdir()
    job = Job(
        kind="directory",
        source=str(source),
        folder=str(tmp_path / "artifact"),
        work=str(tmp_path / "work"),
        bits=8,
        reading=str(tmp_path / "reading.json"),
    )

    with pytest.raises(
        Invalid, match=r"1 weights are missing or misshapen, the first is model\.layers\.1\.mlp\.up_proj"
    ):
        work(job, Silent())
