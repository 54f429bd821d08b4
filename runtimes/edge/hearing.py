"""The speech model's thread: hears sounds window by window, requests in turns.

Where a window begins is where the last timestamp of the one before it lies. What is written after a window is decided
in `runtimes.edge.dictation`; the thread is that of `runtimes.edge.errands`. Called by `runtimes.edge.replica` and
`runtimes.edge.transcriptions`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from runtimes.edge import dictation
from runtimes.edge.dictation import Abandoned, Recognizes, Segment
from runtimes.edge.errands import Errand, Errands
from runtimes.edge.mel import FRAMES_A_S, Spectrogram
from runtimes.errors import HeadwaterError, Refused

HELD_S = 3600.0  # sound of all requests together; the build counts its memory
FIRST_PACE = 0.5  # seconds that a second of sound is taken to need before any has been heard
PACE_MEMORY = 0.2  # weight of the newest window in the pace estimate


@dataclass(frozen=True)
class Speech:
    """What is to be written down, and how.

    Attributes:
        sound: of the whole file.
        language: code of a language the model knows; empty lets the model find out.
        task: `transcribe` or `translate`.
        prompt: tokens of what was said before.
        temperature: 0 takes the likeliest token each time.
    """

    sound: Spectrogram
    language: str
    task: str
    prompt: Sequence[int]
    temperature: float


@dataclass(frozen=True)
class Transcript:
    """What was said."""

    language: str  # empty when the model knows one only
    segments: tuple[Segment, ...]
    tokens: int  # written in all


@dataclass(eq=False)
class SpeechErrand(Errand):
    """One request, and how far it is."""

    speech: Speech
    seek: int = 0
    language: str = ""
    tokens: int = 0
    segments: list[Segment] = field(default_factory=list)

    @property
    def left_s(self) -> float:
        """Seconds of sound not heard yet."""
        return max(0, self.speech.sound.frames - self.seek) / FRAMES_A_S

    def result(self) -> Transcript:
        """What was said."""
        return Transcript(self.language, tuple(self.segments), self.tokens)


class Hearing(Errands[SpeechErrand, SpeechErrand]):
    """Hears for many requests."""

    def __init__(
        self,
        recognizer: Recognizes,
        text_of: Callable[[Sequence[int]], str],
        *,
        slots: int,
        queue: int,
        post: Callable[[Callable[[], None]], None],
    ) -> None:
        """Build it; nothing runs before `start`.

        Args:
            recognizer: the model; only the engine thread touches it.
            text_of: gives the text of tokens.
            slots: requests that may take turns, besides those that wait.
            queue: requests that may wait.
            post: takes a call to the event loop of those who wait for answers.
        """
        super().__init__("edge-hearing", slots=slots, queue=queue, post=post)
        self.shape = recognizer.shape
        self._recognizer = recognizer
        self._text_of = text_of
        self._pace = FIRST_PACE

    def submit(self, speech: Speech) -> asyncio.Future[Transcript]:
        """Queue a request; cancelling what is returned withdraws it, at its next token.

        Raises:
            Unavailable: there is no room, or the engine takes nothing new.
        """
        answer: asyncio.Future[Transcript] = asyncio.get_running_loop().create_future()
        self._admit(SpeechErrand(speech, language=speech.language, answer=answer))
        return answer

    def _warm_up(self) -> None:
        shape = self.shape
        heard = self._recognizer.hear(np.zeros((shape.mels, shape.window_frames), np.float32))
        self._recognizer.begin(heard, [shape.start_token])
        self._recognizer.step(shape.no_timestamps_token)

    def _load(self, errands: deque[SpeechErrand]) -> tuple[float, str]:
        held_s = sum(one.speech.sound.seconds for one in errands)
        return held_s / HELD_S, f"{held_s:.0f} s of sound"

    def _expected_s(self, errands: deque[SpeechErrand]) -> float:
        return self._pace * sum(one.left_s for one in errands)

    def _chosen(self) -> SpeechErrand:
        turn = self._errands[0]
        turn.begun = True
        self._errands.rotate(-1)
        return turn

    def _work(self, chosen: SpeechErrand) -> None:
        began_s, before_s = time.monotonic(), chosen.left_s
        error: HeadwaterError | None = None
        try:
            self._hear(chosen)
        except Abandoned:
            return
        except HeadwaterError as exc:
            error = exc
        except Exception as exc:  # noqa: BLE001 one bad sound must not end the engine
            error = Refused(f"The model failed on this sound: {type(exc).__name__}.")
        else:
            pace = (time.monotonic() - began_s) / max(before_s - chosen.left_s, 1 / FRAMES_A_S)
            self._pace += PACE_MEMORY * (pace - self._pace)
        if error is not None or not chosen.left_s:
            self._finish(chosen, error)

    def _hear(self, errand: SpeechErrand) -> None:
        """One window."""
        speech, shape = errand.speech, self.shape
        heard = self._recognizer.hear(speech.sound.window(errand.seek))
        self._beat()
        if shape.languages and not errand.language:
            errand.language = dictation.detect_language(self._recognizer, heard)
        prompt = dictation.opening(shape, errand.language, speech.task, [] if errand.seek else speech.prompt)

        def wanted() -> bool:
            self._beat()
            return not (errand.answer.cancelled() or self._stopping)

        written = dictation.write(
            self._recognizer,
            heard,
            prompt,
            temperature=speech.temperature,
            text_of=self._text_of,
            wanted=wanted,
        )
        errand.tokens += len(written.tokens)
        frames = min(shape.window_frames, speech.sound.frames - errand.seek)
        segments, used = dictation.segments_of(shape, written, errand.seek, frames)
        if written.silent:
            used = frames
        else:
            errand.segments += [one for one in segments if one.end_s > one.start_s and self._says(one)]
        errand.seek += used

    def _says(self, segment: Segment) -> bool:
        return bool(self._text_of(dictation.words(self.shape, segment.tokens)).strip())
