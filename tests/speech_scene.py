"""A speech model without weights, sound files for it, and a server over it."""

from __future__ import annotations

import asyncio
import io
import threading
import wave
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from aiohttp import FormData
from aiohttp.test_utils import TestClient, TestServer

from runtimes.contract import SpeechShape
from runtimes.edge.hearing import Hearing
from runtimes.edge.metrics import EdgeMetrics
from runtimes.edge.server import EdgeServer
from runtimes.edge.tokens import Vocabulary
from runtimes.edge.transcriptions import SpeechServed

PATH = "/v1/audio/transcriptions"
RATE = 16000
END, START, EN, DE, TRANSLATE, TRANSCRIBE, PREVIOUS, SILENT, PLAIN = range(256, 265)
STAMP = PLAIN + 1
SPACE, FATAL = 220, 255
SHAPE = SpeechShape(
    mels=80,
    window_frames=3000,
    layers=1,
    heads=1,
    head_dim=1,
    vocabulary=STAMP + 1501,
    context_tokens=60,
    start_token=START,
    end_token=END,
    no_timestamps_token=PLAIN,
    previous_token=PREVIOUS,
    no_speech_token=SILENT,
    languages={"en": EN, "de": DE},
    tasks={"transcribe": TRANSCRIBE, "translate": TRANSLATE},
    suppressed=(START, PREVIOUS, SILENT),
    latest_start=50,
)


class Parrot:
    """Says what it is told, window by window; `gate` holds every token until it is set."""

    shape = SHAPE

    def __init__(self, *windows: Sequence[int], language: int = DE) -> None:
        self.windows = [list(window) for window in windows]
        self.language = language
        self.prompts: list[list[int]] = []
        self.heard: list[np.ndarray] = []
        self.steps = 0
        self.gate = threading.Event()
        self.gate.set()
        self.likely = 20.0  # how far the told token is above all others
        self.left: list[int] = []

    def hear(self, features: np.ndarray) -> np.ndarray:
        if features.any():  # silence without a sound warms up
            self.heard.append(features)
        return np.zeros((1, 1, 1), np.float32)

    def begin(self, _heard: np.ndarray, tokens: Sequence[int]) -> np.ndarray:
        if list(tokens) == [START]:
            return self._scores(self.language)[None]
        self.prompts.append(list(tokens))
        self.left = [*self.windows[(len(self.heard) - 1) % len(self.windows)], END]
        return np.stack([self._scores(self.left.pop(0))] * len(tokens))

    def step(self, _token: int) -> np.ndarray:
        assert self.gate.wait(20)
        self.steps += 1
        return self._scores(self.left.pop(0) if self.left else END)

    def _scores(self, token: int) -> np.ndarray:
        if token == FATAL:
            raise ValueError("fatal token")
        scores = np.zeros(SHAPE.vocabulary, np.float32)
        scores[token] = self.likely
        return scores


def said(text: str, first_s: float, last_s: float) -> list[int]:
    """A segment as tokens, stamps around it; the tests' tokenizer has a token for each byte."""
    letters = (SPACE if letter == " " else ord(letter) - 33 for letter in text)
    return [STAMP + round(first_s * 50), *letters, STAMP + round(last_s * 50)]


def sound(seconds: float, *, rate: int = RATE, width: int = 2, channels: int = 1) -> bytes:
    """A WAV file with a tone."""
    wanted = np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)[:, None].repeat(channels, axis=1)
    numbers = np.rint(wanted * 0.5 * (2 ** (8 * width - 1) - 1)).astype("<i4")
    raw = (numbers + 128).astype(np.uint8) if width == 1 else numbers.view(np.uint8).reshape(-1, 4)[:, :width]
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(raw.tobytes())
    return content.getvalue()


def form(content: bytes | None = None, **fields: Any) -> FormData:
    """A request's body; a list is a field that comes several times."""
    made = FormData()
    made.add_field("file", io.BytesIO(sound(2) if content is None else content), filename="a.wav")
    for name, value in ({"model": "ear"} | fields).items():
        for one in value if isinstance(value, list) else [value]:
            made.add_field(name + ("[]" if isinstance(value, list) else ""), str(one))
    return made


Work = Callable[[TestClient, Hearing], Awaitable[None]]


def serve(parrot: Parrot, vocabulary: Vocabulary, work: Work, *, slots: int = 2, queue: int = 4) -> None:
    """Run `work` against a server."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        post = partial(loop.call_soon_threadsafe)
        engine = Hearing(parrot, vocabulary.decode, slots=slots, queue=queue, post=post)
        await loop.run_in_executor(None, engine.start)
        edge = EdgeServer(EdgeMetrics())
        edge.open_for(SpeechServed(engine, vocabulary, ("ear", "tiny"), made_s=5))
        async with TestClient(TestServer(edge.app(), handler_cancellation=True)) as client:
            try:
                await work(client, engine)
            finally:
                parrot.gate.set()
                await loop.run_in_executor(None, engine.stop, 10.0)

    asyncio.run(run())
