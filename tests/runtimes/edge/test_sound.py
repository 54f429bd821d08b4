"""Sound files to samples, and samples to the spectrogram that Whisper hears."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from speech_scene import RATE, sound

from runtimes.edge import sound as reading
from runtimes.edge.complaints import BadField
from runtimes.edge.mel import Spectrogram, mel_filters
from runtimes.edge.resampling import Resampler
from runtimes.edge.sound import read_sound


def tone(seconds: float, rate: int = RATE, hertz: float = 440) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def written(kind: str, rate: int = RATE, subtype: str | None = None, samples: np.ndarray | None = None) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, tone(1, rate) if samples is None else samples, rate, format=kind, subtype=subtype)
    return content.getvalue()


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (44100, 2), (8000, 1)])
def test_wav_of_every_width_and_rate_becomes_the_same_tone(width, rate, channels):
    found = read_sound(sound(1, rate=rate, width=width, channels=channels))

    assert (found.dtype, len(found)) == (np.int16, RATE)
    wanted = tone(1) * 32768
    assert np.abs(found[500:-500] - wanted[500:-500]).max() < (300 if width == 1 else 40)


@pytest.mark.parametrize(
    ("content", "off"),
    [
        (written("FLAC"), 2),
        (written("OGG"), 1500),
        (written("OGG", 48000, "OPUS"), 1500),
        (written("MP3"), 1500),
        (written("WAV", subtype="FLOAT"), 2),
    ],
    ids=["flac", "vorbis", "opus", "mp3", "float wav"],
)
def test_other_containers_are_read(content, off):
    found = read_sound(content)

    assert abs(len(found) - RATE) < 2500  # MP3 pads its ends
    assert np.abs(found.astype(int)).max() == pytest.approx(16384, abs=off)


def test_numbers_that_are_none_and_files_without_end_do_no_harm(monkeypatch):
    broken = np.array([np.nan, np.inf, -np.inf, 5.0, -5.0] * 100, np.float32)
    assert set(read_sound(written("WAV", subtype="FLOAT", samples=broken)).tolist()) == {0, 32767, -32768}

    monkeypatch.setattr(reading, "LONGEST_S", 2)
    with pytest.raises(BadField, match="longer than 2 s"):
        read_sound(written("FLAC", samples=np.zeros(3 * RATE)))
    with pytest.raises(BadField, match="500 samples a second"):
        read_sound(sound(1, rate=500))
    with pytest.raises(BadField, match="17 channels"):
        read_sound(sound(0.1, channels=17))
    whole = written("FLAC")
    for content in (whole[:40], whole[:4] + bytes(2000), b"OggS" + whole, b"ID3" + bytes(500), b"\xff\xfb" + bytes(9)):
        with pytest.raises(BadField):
            read_sound(content)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000])
def test_resampling_keeps_the_tone_in_any_blocks_and_drops_what_cannot_be_heard(rate):
    samples = tone(1.5, rate).astype(np.float32)

    def made(block: int) -> np.ndarray:
        resampler = Resampler(rate, RATE)
        parts = [resampler.push(samples[at : at + block]) for at in range(0, len(samples), block)]
        return np.concatenate([*parts, resampler.close()])

    whole = made(len(samples))
    assert len(whole) == -(-len(samples) * RATE // rate)
    np.testing.assert_array_equal(whole, made(777))
    np.testing.assert_allclose(whole[300:-300], tone(1.5)[300 : len(whole) - 300], atol=2e-4)
    if rate > 20000:
        samples = tone(1.5, rate, 9500).astype(np.float32)
        assert np.abs(made(1000)[300:-300]).max() < 1e-3


@pytest.mark.parametrize(("mels", "seconds"), [(80, 3.7), (128, 30), (80, 47.31), (128, 0.01)])
def test_the_spectrogram_is_that_of_transformers(mels, seconds):
    from transformers import WhisperFeatureExtractor  # noqa: PLC0415 slow, and only this test needs it

    samples = (np.random.default_rng(3).standard_normal(int(seconds * RATE)) * tone(seconds) * 12000).astype(np.int16)
    extractor = WhisperFeatureExtractor(feature_size=mels)
    padding = "longest" if seconds > 30 else "max_length"
    raw = samples / 32768
    wanted = extractor(raw, sampling_rate=RATE, return_tensors="np", truncation=False, padding=padding)
    wanted = wanted.input_features[0]

    found = Spectrogram(samples, mels=mels, window_frames=3000)
    np.testing.assert_allclose(mel_filters(mels).T, extractor.mel_filters, atol=1e-9)
    np.testing.assert_allclose(found.window(0), wanted[:, :3000], atol=1e-4)
    if seconds > 30:
        second, rest = found.window(3000), wanted.shape[1] - 3000
        np.testing.assert_allclose(second[:, :rest], wanted[:, 3000:], atol=1e-4)
        assert not second[:, rest:].any()
        assert found.frames == wanted.shape[1]
