"""A sound file to what the speech model hears: one channel, 16000 samples a second, 16 bits.

The one home of `soundfile`, whose libsndfile reads WAV, FLAC, Ogg and MP3. Only these are given to it, known by how
they begin, and it is read block by block so that a small file cannot unfold without bound. Called by
`runtimes.edge.transcriptions`, off the event loop.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.edge.complaints import BadField
from runtimes.edge.resampling import Resampler
from runtimes.errors import Refused

RATE = 16000  # samples a second
LONGEST_S = 3600
LOWEST_RATE, HIGHEST_RATE = 4000, 192000
MOST_CHANNELS = 16
BLOCK_S = 1
LOUDEST = 32767
FORMATS = "WAV, FLAC, Ogg (Vorbis or Opus) and MP3"

Samples = NDArray[np.int16]


def read_sound(content: bytes) -> Samples:
    """Decode a file; several channels become their mean.

    Args:
        content: the whole file.

    Raises:
        BadField: it is of another kind, broken, empty, or longer than `LONGEST_S`.
        Refused: libsndfile is missing here.
    """
    if (kind := _kind(content)) is None:
        raise BadField(f"file is in a format that is not read here; send one of {FORMATS}.", param="file")
    try:
        import soundfile  # noqa: PLC0415 where its C library is missing, models that hear nothing are served all the same
    except (ImportError, OSError) as exc:
        raise Refused(f"This server cannot read sound files: {type(exc).__name__}: {exc}"[:200]) from exc
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            found = _decoded(file)
    except (soundfile.SoundFileError, RuntimeError, ValueError, OSError) as exc:
        raise BadField(f"file begins as {kind} and cannot be decoded; is it whole?", param="file") from exc
    if not len(found):
        raise BadField("file holds no sound.", param="file")
    return found


def _decoded(file: Any) -> Samples:
    rate, channels = int(file.samplerate), int(file.channels)
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise BadField(
            f"file has {rate} samples a second; from {LOWEST_RATE} to {HIGHEST_RATE} are read here.", param="file"
        )
    if channels > MOST_CHANNELS:
        raise BadField(f"file has {channels} channels; at most {MOST_CHANNELS} are read here.", param="file")
    resampler = None if rate == RATE else Resampler(rate, RATE)
    parts: list[Samples] = []
    total = 0
    for block in file.blocks(blocksize=rate * BLOCK_S, dtype="float32", always_2d=True):
        total += len(block)
        if total > LONGEST_S * rate:
            raise BadField(f"file is longer than {LONGEST_S} s; send it in parts.", param="file")
        mono = block.mean(axis=1)
        parts.append(_sixteen_bits(mono if resampler is None else resampler.push(mono)))
    if resampler is not None:
        parts.append(_sixteen_bits(resampler.close()))
    return np.concatenate(parts) if parts else np.zeros(0, np.int16)


def _sixteen_bits(samples: NDArray[np.float32]) -> Samples:
    finite = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
    return np.asarray(np.clip(np.rint(finite * (LOUDEST + 1)), -LOUDEST - 1, LOUDEST), np.int16)


def _kind(content: bytes) -> str | None:
    if content[:4] in {b"RIFF", b"RF64"} and content[8:12] == b"WAVE":
        return "WAV"
    if content[:4] == b"fLaC":
        return "FLAC"
    if content[:4] == b"OggS":
        return "Ogg"
    synchronous = content[:1] == b"\xff" and content[1:2] >= b"\xe0"  # eleven bits open each frame of an MP3
    return "MP3" if content[:3] == b"ID3" or synchronous else None
