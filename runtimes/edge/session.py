"""The decoder graph on ONNX Runtime, with caches that never move.

The one home of `onnxruntime` at run time; `runtimes.edge.encoder`, `runtimes.edge.classifier` and
`runtimes.edge.recognizer` open their graphs through it. One allocation holds the
caches of every slot, [layers x 2, slots, heads, context, head size]; past and present of the graph are both bound to it
once, so a step copies no cache and rebinds the mask at most. Rows 0..n-1 are a whole batch of n, and one row alone is a
batch of one: that is how a prompt is read straight into its slot. Who sits in which row is decided in
`runtimes.edge.scheduler`. Called by `runtimes.edge.batching`; made by `runtimes.edge.replica`.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from runtimes.contract import DecoderShape
from runtimes.edge.artifact import GRAPH_FILE, Artifact, cache_bytes
from runtimes.errors import Invalid, Refused, Unavailable

CHUNK_TOKENS = 64  # longest piece of a prompt read at once, and what is reused of prompts seen before
CHECK_TOKENS = 8  # most that `check` takes
MASK_STEP_TOKENS = 64  # the mask grows by this much, so it is rebound once in so many steps
SCORES: dict[str, type[np.float32 | np.float16]] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
CACHES = {**SCORES, "tensor(int8)": np.int8}
LOG_ERRORS_ONLY = 3
CPU = "CPUExecutionProvider"
FILLER = 0  # a token that nothing depends on
TRIED_TOKENS = 4

Floats = NDArray[np.float32]


class Session:
    """Runs the graph over `slots` rows of `context_tokens` each. Not thread-safe: one engine thread calls it."""

    def __init__(
        self, artifact: Artifact, *, slots: int, context_tokens: int, threads: int, providers: Sequence[str] = ()
    ) -> None:
        """Load the graph and reserve all caches.

        Raises:
            Invalid: the context is longer than the model's.
            Refused: ONNX Runtime cannot load the graph, or it is not the decoder the manifest describes.
        """
        shape = artifact.decoder
        if context_tokens > shape.context_tokens:
            raise Invalid(
                f"A context of {context_tokens} tokens is asked for; {artifact.manifest.model} was built for "
                f"{shape.context_tokens}."
            )
        self.slots = slots
        self.context_tokens = context_tokens
        self.vocabulary = shape.vocabulary
        self._session = load_graph(artifact, threads, providers=providers)
        self.providers = running(self._session)
        scores_type = _check_graph(self._session, artifact)
        # Anonymous memory with small pages: only what prompts have filled is resident. numpy would ask for huge pages,
        # which made the start seconds longer and long contexts at most 5 % faster.
        memory = mmap.mmap(-1, cache_bytes(shape, slots=slots, context_tokens=context_tokens))
        self._cache = np.frombuffer(memory, np.dtype(shape.kv_dtype)).reshape(
            2 * shape.layers, slots, shape.kv_heads, context_tokens, shape.head_dim
        )
        self._names = _cache_names(shape)
        self._positions = np.arange(context_tokens, dtype=np.int64)
        self._mask = np.zeros(slots * context_tokens, np.int64)
        self._ids = np.zeros((slots, 1), np.int64)
        self._prompt = np.zeros((1, CHUNK_TOKENS), np.int64)
        self._scores = np.zeros((slots, 1, shape.vocabulary), scores_type)
        self._prompt_scores = np.zeros((1, 1, shape.vocabulary), scores_type)
        self._check_scores = np.zeros((1, CHECK_TOKENS, shape.vocabulary), scores_type)
        self._only, self._last = np.zeros(1, np.int64), np.zeros(1, np.int64)  # places of the tokens to score
        self._batches = [self._bound(0, rows) for rows in range(1, slots + 1)]
        self._rows = [self._bound(row, 1) for row in range(slots)]
        self._mask_tokens = [0] * slots
        for rows, binding in enumerate(self._batches, start=1):
            _bind_in(binding, "input_ids", self._ids[:rows])
            _bind_in(binding, "positions", self._only)
            _bind_out(binding, "logits", self._scores[:rows])
        for binding in self._rows:
            _bind_in(binding, "positions", self._last)
            _bind_out(binding, "logits", self._prompt_scores)
        self._paired = slots > 1 and self._differs_alone()

    @property
    def cache_bytes(self) -> int:
        """Bytes reserved for the caches of all slots."""
        return self._cache.nbytes

    @property
    def chunk_tokens(self) -> int:
        """Longest piece of a prompt that `prefill` takes."""
        return CHUNK_TOKENS

    def prefill(self, row: int, tokens: Sequence[int], past_tokens: int) -> Floats:
        """Read a piece of a prompt into a row, after the `past_tokens` that the row already holds.

        Args:
            row: the slot.
            tokens: at most `CHUNK_TOKENS`.
            past_tokens: tokens of this prompt read before.

        Returns:
            Scores after the last token, shape [vocabulary]; valid until the next call.

        Raises:
            Unavailable: ONNX Runtime failed.
        """
        self._last[0] = len(tokens) - 1
        self._append(row, tokens, past_tokens)
        return _as_float(self._prompt_scores[0, 0])

    def check(self, row: int, tokens: Sequence[int], past_tokens: int) -> Floats:
        """Append a few tokens to a row.

        Args:
            row: the slot.
            tokens: at most `CHECK_TOKENS`.
            past_tokens: tokens that the row holds.

        Returns:
            Scores after each of them, shape [tokens, vocabulary]; valid until the next call.

        Raises:
            Unavailable: ONNX Runtime failed.
        """
        binding, scores = self._rows[row], self._check_scores[:, : len(tokens)]
        _bind_in(binding, "positions", self._positions[: len(tokens)])
        _bind_out(binding, "logits", scores)
        try:
            self._append(row, tokens, past_tokens)
        finally:
            _bind_in(binding, "positions", self._last)
            _bind_out(binding, "logits", self._prompt_scores)
        return _as_float(scores[0])

    def _append(self, row: int, tokens: Sequence[int], past_tokens: int) -> None:
        total = past_tokens + len(tokens)
        ids = self._prompt[:, : len(tokens)]
        ids[0] = tokens
        mask = self._mask[:total].reshape(1, total)
        mask.fill(1)
        binding = self._rows[row]
        _bind_in(binding, "input_ids", ids)
        _bind_in(binding, "attention_mask", mask)
        self._mask_tokens = [0] * self.slots
        self._run(binding)

    def step(self, tokens: Sequence[int], lengths: Sequence[int]) -> Floats:
        """Decode one token for each of the first rows.

        Args:
            tokens: the token to append to row 0, 1, ...
            lengths: tokens each of these rows holds before it.

        Returns:
            Scores, shape [rows, vocabulary]; valid until the next call.

        Raises:
            Unavailable: ONNX Runtime failed.
        """
        if self._paired and len(tokens) == 1 and lengths[0] + 1 < self.context_tokens:
            return self.check(0, [tokens[0], FILLER], lengths[0])[:1]
        return self._stepped(tokens, lengths)

    def _stepped(self, tokens: Sequence[int], lengths: Sequence[int]) -> Floats:
        rows = len(tokens)
        self._ids[:rows, 0] = tokens
        width = min(-(-(max(lengths) + 1) // MASK_STEP_TOKENS) * MASK_STEP_TOKENS, self.context_tokens)
        mask = self._mask[: rows * width].reshape(rows, width)
        np.less_equal(self._positions[:width], np.asarray(lengths)[:, None], out=mask, casting="unsafe")
        binding = self._batches[rows - 1]
        if self._mask_tokens[rows - 1] != width:
            _bind_in(binding, "attention_mask", mask)
            self._mask_tokens[rows - 1] = width
        self._run(binding)
        return _as_float(self._scores[:rows, 0])

    def _differs_alone(self) -> bool:
        """Whether a step of one row gives other bits than one of two rows, and one that appends two tokens does not.

        That depends on the processor: without AVX-512, products with 4-bit weights are summed in another order where
        there is one row. An answer must not show whether it had neighbours, so such a row then takes a second token
        along, which the next step overwrites.
        """
        differs = False
        for length in range(min(TRIED_TOKENS, self.context_tokens - 1)):
            alone = self._stepped([length + 1], [length])[0].copy()
            beside = self._stepped([length + 1] * 2, [length] * 2)[0].copy()
            differs |= not np.array_equal(alone, beside)
            if not np.array_equal(self.check(0, [length + 1, FILLER], length)[0], beside):
                return False
        return differs

    def move(self, source: int, target: int, tokens: int) -> None:
        """Copy the first `tokens` of a row's cache into another row."""
        self._cache[:, target, :, :tokens] = self._cache[:, source, :, :tokens]

    def _bound(self, first: int, rows: int) -> ort.IOBinding:
        """A binding whose caches are rows `first` to `first + rows - 1`, past and present alike."""
        binding = self._session.io_binding()
        for layer, name in enumerate(self._names):
            part = self._cache[layer, first : first + rows]
            _bind_in(binding, f"past_key_values.{name}", part)
            _bind_out(binding, f"present.{name}", part)
        return binding

    def _run(self, binding: ort.IOBinding) -> None:
        try:
            self._session.run_with_iobinding(binding)
        except Exception as exc:  # the library's errors share no base class but Exception
            raise Unavailable(f"The model step failed: {first_line(exc)}", retry_in_s=1.0) from exc


def running(session: ort.InferenceSession) -> tuple[str, ...]:
    """Execution providers of a graph, first choice first."""
    return tuple(session.get_providers())


def load_graph(
    artifact: Artifact, threads: int, *, name: str = GRAPH_FILE, providers: Sequence[str] = ()
) -> ort.InferenceSession:
    """Opens a graph of an artifact on the first of the execution providers that is there; the CPU is always the last.

    Raises:
        Refused: ONNX Runtime cannot load it.
    """
    ort.disable_telemetry_events()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = LOG_ERRORS_ONLY
    # Threads spin within a step, where the next operator is microseconds away, and sleep between steps: the server's
    # own thread needs the core then.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    options.add_session_config_entry("session.force_spinning_stop", "1")
    present = [*(one for one in providers if one in ort.get_available_providers() and one != CPU), CPU]
    try:  # the library itself goes on with the CPU where a provider finds no device
        return ort.InferenceSession(str(artifact.folder / name), options, providers=present)
    except Exception as exc:  # the library's errors share no base class but Exception
        raise Refused(f"ONNX Runtime cannot load {artifact.folder / name}: {first_line(exc)}") from exc


def _check_graph(session: ort.InferenceSession, artifact: Artifact) -> type[np.float32 | np.float16]:
    """Type of the logits."""
    shape = artifact.decoder
    caches = _cache_names(shape)
    wanted_in = {"input_ids", "attention_mask", "positions", *(f"past_key_values.{name}" for name in caches)}
    wanted_out = {"logits", *(f"present.{name}" for name in caches)}
    inputs = {node.name: node for node in session.get_inputs()}
    outputs = {node.name: node for node in session.get_outputs()}
    wrong = sorted((set(inputs) ^ wanted_in) | (set(outputs) ^ wanted_out))
    if wrong:
        raise Refused(
            f"{artifact.graph} is not the fused decoder its manifest describes: {len(wrong)} inputs or outputs differ, "
            f"the first is {wrong[0]}; build it again."
        )
    cache, logits = inputs[f"past_key_values.{caches[0]}"], outputs["logits"]
    if CACHES.get(cache.type) != np.dtype(shape.kv_dtype) or list(cache.shape)[1::2] != [
        shape.kv_heads,
        shape.head_dim,
    ]:
        raise Refused(
            f"{artifact.graph} keeps its cache as {cache.type}{cache.shape}; the manifest says {shape.kv_dtype} with "
            f"{shape.kv_heads} heads of {shape.head_dim}."
        )
    if logits.type not in SCORES or logits.shape[-1] != shape.vocabulary:
        raise Refused(
            f"{artifact.graph} scores {logits.type}{logits.shape}; the manifest says {shape.vocabulary} tokens."
        )
    return SCORES[logits.type]


def _cache_names(shape: DecoderShape) -> list[str]:
    return [f"{layer}.{part}" for layer in range(shape.layers) for part in ("key", "value")]


def _bind_in(binding: ort.IOBinding, name: str, array: NDArray[np.generic]) -> None:
    binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)


def _bind_out(binding: ort.IOBinding, name: str, array: NDArray[np.generic]) -> None:
    binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)


def _as_float(scores: NDArray[np.floating]) -> Floats:
    return scores.astype(np.float32, copy=False)


def first_line(exc: Exception) -> str:
    """What the library says, in one line."""
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0][:300]
