"""What a speech model may write after a window of sound: Whisper's rules, token by token, and the text in segments.

Pure, over a recognizer. Timestamps are always written, for they say where the next window begins. The rules are those
of Whisper and of transformers' `generate`, with which a test compares the tokens. Each window is read on its own: only
the client's prompt stands before the first, so that a mistake does not spread. Called by `runtimes.edge.hearing`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from runtimes.contract import SpeechShape
from runtimes.edge.sampler import GREEDY_BELOW

STEP_FRAMES = 2  # frames of the spectrogram in a step of the timestamps
FRAME_S = 0.01
# A text that is unlikely or repeats itself is written again, less strictly each time.
TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
MOST_COMPRESSED = 2.4
LEAST_LIKELY = -1.0
SILENT = 0.6

Floats = NDArray[np.float32]


class Recognizes(Protocol):
    """What `runtimes.edge.recognizer` offers; tests put something simpler in its place."""

    shape: SpeechShape

    def hear(self, features: Floats) -> Floats:
        """What the encoder makes of a window."""

    def begin(self, heard: Floats, tokens: Sequence[int]) -> Floats:
        """Scores after each token of a prompt."""

    def step(self, token: int) -> Floats:
        """Scores after one token more."""


@dataclass(frozen=True)
class Written:
    """What was written for one window."""

    tokens: tuple[int, ...]  # timestamps among them, the end mark not
    temperature: float
    mean_logprob: float
    no_speech: float  # how likely nobody speaks
    compression: float  # length of the text against its packed length

    @property
    def silent(self) -> bool:
        """Whether it is taken for words that nobody said."""
        return self.no_speech > SILENT and self.mean_logprob < LEAST_LIKELY


@dataclass(frozen=True)
class Segment:
    """A piece of text between two timestamps."""

    seek: int  # frame at which its window begins
    start_s: float
    end_s: float
    tokens: tuple[int, ...]  # timestamps among them
    written: Written


class Abandoned(Exception):
    """The text is wanted no more."""


def detect_language(recognizer: Recognizes, heard: Floats) -> str:
    """Code of the language that the first window is in."""
    shape = recognizer.shape
    scores = recognizer.begin(heard, [shape.start_token])[-1]
    return max(shape.languages, key=lambda code: scores[shape.languages[code]])


def opening(shape: SpeechShape, language: str, task: str, prompt: Sequence[int]) -> list[int]:
    """What stands before the text: the end of what was said before, then the marks."""
    room = shape.context_tokens // 2 - 1
    before = [shape.previous_token, *prompt[-room:]] if prompt and shape.previous_token is not None else []
    marks = [shape.languages[language]] if language in shape.languages else []
    return [*before, shape.start_token, *marks, *([shape.tasks[task]] if task in shape.tasks else [])]


def write(
    recognizer: Recognizes,
    heard: Floats,
    prompt: Sequence[int],
    *,
    temperature: float,
    text_of: Callable[[Sequence[int]], str],
    wanted: Callable[[], bool],
) -> Written:
    """Write what is said in a window; at temperature 0 a poor text is tried again at higher ones.

    Args:
        recognizer: the model.
        heard: what its encoder made of the window.
        prompt: as `opening` makes it.
        temperature: 0 takes the likeliest token each time.
        text_of: gives the text of tokens.
        wanted: asked before each token; False ends it.

    Raises:
        Abandoned: it is not wanted any more.
        Unavailable: ONNX Runtime failed.
    """
    random = np.random.default_rng(0)  # the same sound gives the same text
    written: Written | None = None
    for degree in [one for one in TEMPERATURES if one >= temperature] if temperature == 0 else [temperature]:
        written = _written(recognizer, heard, prompt, temperature=degree, random=random, text_of=text_of, wanted=wanted)
        poor = written.compression > MOST_COMPRESSED or written.mean_logprob < LEAST_LIKELY
        if not poor or written.silent:
            break
    assert written is not None  # noqa: S101 there is always a first temperature
    return written


def _written(
    recognizer: Recognizes,
    heard: Floats,
    prompt: Sequence[int],
    *,
    temperature: float,
    random: np.random.Generator,
    text_of: Callable[[Sequence[int]], str],
    wanted: Callable[[], bool],
) -> Written:
    shape = recognizer.shape
    scores = recognizer.begin(heard, prompt)
    no_speech = 0.0
    if shape.no_speech_token is not None:
        no_speech = float(_softmax(scores[prompt.index(shape.start_token)])[shape.no_speech_token])
    tokens: list[int] = []
    total, current = 0.0, scores[-1]
    while True:
        if not wanted():
            raise Abandoned
        allowed = allowed_scores(shape, current, tokens)
        likely = _log_softmax(allowed)
        token = int(allowed.argmax())
        if temperature >= GREEDY_BELOW:
            token = int(random.choice(len(allowed), p=_softmax(allowed / temperature)))
        total += float(likely[token])
        if token == shape.end_token:
            break
        tokens.append(token)
        if len(prompt) + len(tokens) >= shape.context_tokens:
            break
        current = recognizer.step(token)
    text = text_of(words(shape, tokens)).strip().encode()
    compression = len(text) / len(zlib.compress(text)) if text else 0.0
    return Written(tuple(tokens), temperature, total / (len(tokens) + 1), no_speech, compression)


def allowed_scores(shape: SpeechShape, scores: Floats, tokens: Sequence[int]) -> NDArray[np.float64]:
    """Scores of the next token, with minus infinity for what may not follow `tokens`, the text so far."""
    found = scores.astype(np.float64)
    first_stamp = shape.no_timestamps_token + 1
    forbidden = -np.inf
    found[list(shape.suppressed)] = forbidden
    found[shape.no_timestamps_token] = forbidden
    stamps = [token for token in tokens if token >= first_stamp]
    after_stamp = bool(tokens) and tokens[-1] >= first_stamp
    pair_closed = after_stamp and (len(tokens) == 1 or tokens[-2] >= first_stamp)
    if pair_closed:
        found[first_stamp:] = forbidden
    elif after_stamp:  # a stamp that ends a segment: another begins, or all is said
        found[: shape.end_token] = forbidden
    if stamps:
        found[first_stamp : stamps[-1] + (0 if after_stamp and not pair_closed else 1)] = forbidden
    if not tokens:
        found[list(shape.suppressed_first)] = forbidden
        found[:first_stamp] = forbidden
        if shape.latest_start is not None:
            found[first_stamp + shape.latest_start + 1 :] = forbidden
    likely = _log_softmax(found)
    if np.logaddexp.reduce(likely[first_stamp:]) > likely[:first_stamp].max():
        found[:first_stamp] = forbidden  # some stamp is likelier than any one word
    return found


def segments_of(shape: SpeechShape, written: Written, seek: int, frames: int) -> tuple[list[Segment], int]:
    """The segments of a window, and how many frames it has used up.

    Args:
        shape: of the model.
        written: for this window.
        seek: frame at which it begins.
        frames: of sound in it.
    """
    tokens, first_stamp = written.tokens, shape.no_timestamps_token + 1
    marks = [token >= first_stamp for token in tokens]
    cuts = [at for at in range(1, len(tokens)) if marks[at - 1] and marks[at]]
    offset_s = seek * FRAME_S

    def at_s(token: int) -> float:
        return offset_s + (token - first_stamp) * STEP_FRAMES * FRAME_S

    if not cuts:
        stamps = [token for token in tokens if token > first_stamp]
        end_s = at_s(stamps[-1]) if stamps else offset_s + frames * FRAME_S
        return [Segment(seek, offset_s, end_s, tokens, written)], frames
    whole = marks[-2:] == [False, True]  # it ends within its last stamp: nothing is left over
    parts = [
        tokens[first:end] for first, end in zip([0, *cuts], [*cuts, *([len(tokens)] if whole else [])], strict=False)
    ]
    found = [Segment(seek, at_s(part[0]), at_s(part[-1]), part, written) for part in parts]
    used = frames if whole else (parts[-1][-1] - first_stamp) * STEP_FRAMES
    return found, max(1, min(used, frames))


def words(shape: SpeechShape, tokens: Sequence[int]) -> list[int]:
    """The tokens that are text."""
    return [token for token in tokens if token < shape.end_token]


def _log_softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    top = scores.max()
    return np.asarray(scores - top - np.log(np.exp(scores - top).sum()))


def _softmax(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    powers = np.exp(scores.astype(np.float64) - scores.max())
    return np.asarray(powers / powers.sum())
