"""What Whisper hears: a spectrogram of 100 frames a second in mel bands, as logarithms.

Pure. Equal to transformers' `WhisperFeatureExtractor`, which a test checks. Sound of at most one window is padded with
silence before the transform; the last window of a longer one is padded with zeros after it, as Whisper's own code does.
The spectrogram of an hour is never held: each window is computed when it is heard. Called by `runtimes.edge.hearing`
and `runtimes.edge.transcriptions`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from runtimes.edge.sound import LOUDEST, RATE, Samples

HOP = 160  # samples from frame to frame
SIZE = 400  # samples of a frame
FRAMES_A_S = RATE // HOP
CHUNK_FRAMES = 3000
LEAST_POWER = 1e-10
RANGE = 8.0  # what is so many powers of ten below the loudest is silence
# Slaney's mel scale: straight up to 1000 Hz, logarithmic above.
KNEE_HZ, KNEE_MEL, MEL_A_HZ, MEL_A_LOG = 1000.0, 15.0, 3 / 200, 27 / math.log(6.4)

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


def mel_filters(mels: int) -> Doubles:
    """Weights of the frequencies in each band, [mels, SIZE / 2 + 1]; each band has the same area."""
    half = RATE / 2
    top = KNEE_MEL + math.log(half / KNEE_HZ) * MEL_A_LOG
    scale = np.linspace(0, top, mels + 2)
    edges = np.where(
        scale < KNEE_MEL, scale / MEL_A_HZ, KNEE_HZ * np.exp((np.maximum(scale, KNEE_MEL) - KNEE_MEL) / MEL_A_LOG)
    )
    frequencies = np.linspace(0, half, SIZE // 2 + 1)
    widths = np.diff(edges)
    slopes = edges[:, None] - frequencies[None]
    rising, falling = -slopes[:-2] / widths[:-1, None], slopes[2:] / widths[1:, None]
    return np.asarray(np.clip(np.minimum(rising, falling), 0, None) * (2 / (edges[2:] - edges[:-2]))[:, None])


class Spectrogram:
    """One sound, window by window."""

    def __init__(self, samples: Samples, *, mels: int, window_frames: int) -> None:
        """Find the loudest place, to which all others are related.

        Args:
            samples: at 16000 a second.
            mels: bands.
            window_frames: frames that are heard together.
        """
        self.seconds = len(samples) / RATE
        self.frames = len(samples) // HOP or 1  # of the sound itself
        self._window = window_frames
        short = len(samples) <= window_frames * HOP
        self._samples = np.pad(samples, (0, window_frames * HOP - len(samples))) if short else samples
        self._there = len(self._samples) // HOP
        self._filters = mel_filters(mels)
        # Periodic Hann, as all use it.
        self._shape = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(SIZE) / SIZE)
        ends = range(0, self._there, CHUNK_FRAMES)
        self._loudest = max(float(self._powers(at, min(at + CHUNK_FRAMES, self._there)).max()) for at in ends)

    def window(self, first: int) -> Floats:
        """The frames from `first` on, [mels, window_frames]."""
        end = min(first + self._window, self._there)
        powers = (np.maximum(self._powers(first, end), self._loudest - RANGE) + 4) / 4
        return np.asarray(np.pad(powers, ((0, 0), (0, self._window - (end - first)))), np.float32)

    def _powers(self, first: int, end: int) -> Doubles:
        places = np.abs(np.arange(first * HOP - SIZE // 2, (end - 1) * HOP + SIZE // 2))  # mirrored at the beginning
        last = len(self._samples) - 1
        places = np.where(places > last, 2 * last - places, places)  # and at the end
        samples = self._samples[places] / (LOUDEST + 1)
        frames = np.lib.stride_tricks.sliding_window_view(samples, SIZE)[::HOP] * self._shape
        spectrum = np.abs(np.fft.rfft(frames, axis=1)) ** 2
        return np.asarray(np.log10(np.maximum(self._filters @ spectrum.T, LEAST_POWER)))
