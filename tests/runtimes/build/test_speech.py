"""A Whisper model from its weights to the client: built, heard window by window, compared with transformers."""

from __future__ import annotations

import io
import json
import wave
from pathlib import Path

import numpy as np
import openai
import pytest
from tiny_speech import write_speech

from runtimes.build.speech import judge_hearing, trial_sound
from runtimes.build.speech_shape import read_speech_shape
from runtimes.build.tasks import task_of, usual_quantization
from runtimes.contract import Phase, ReplicaSpec
from runtimes.edge import dictation
from runtimes.edge.artifact import open_artifact
from runtimes.edge.mel import Spectrogram
from runtimes.edge.recognizer import Recognizer
from runtimes.edge.replica import Replica
from runtimes.edge.tokens import Vocabulary
from runtimes.errors import Invalid, Refused

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's tracer and the exporters warn at every build
RATE = 16000


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_speech(tmp_path_factory.mktemp("speech") / "tiny-whisper")


@pytest.fixture(scope="module")
def built(source, build_here):
    return build_here(source, "fp32")


def samples(seconds: float) -> np.ndarray:
    return (trial_sound(int(seconds * RATE)) * 30000).astype(np.int16)


def transformers_tokens(source: Path, sound: np.ndarray, **wishes) -> list[int]:
    """What `generate` writes, timestamps among it."""
    import torch  # noqa: PLC0415 slow, and only this test needs it
    from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration  # noqa: PLC0415 same

    model = WhisperForConditionalGeneration.from_pretrained(source).eval()
    heard = WhisperFeatureExtractor(feature_size=80)(
        sound / 32768,
        sampling_rate=RATE,
        return_tensors="pt",
        truncation=False,
        padding="longest" if len(sound) > 30 * RATE else "max_length",
        return_attention_mask=True,
    )
    with torch.no_grad():
        found = model.generate(
            heard.input_features,
            attention_mask=heard.attention_mask,
            return_timestamps=True,
            return_segments=True,
            do_sample=False,
            **wishes,
        )
    tokens: list[int] = []
    for segment in found["segments"][0]:
        part = segment["tokens"].tolist()
        first_stamp = 411
        # The last segment of a window also shows the stamp that opens the next, which is read again there.
        tokens += part[:-1] if len(part) > 1 and min(part[-2:]) >= first_stamp else part
    return tokens


@pytest.mark.parametrize(
    ("seconds", "language", "task"),
    [(30, "de", "translate"), (71.3, None, "transcribe")],
    ids=["one window", "three windows in a language found out"],
)
def test_greedy_tokens_are_those_of_transformers_one_by_one(source, built, seconds, language, task):
    artifact = open_artifact(built.path)
    recognizer, vocabulary = Recognizer(artifact, threads=1), Vocabulary.load(artifact.tokenizer)
    sound = Spectrogram(samples(seconds), mels=80, window_frames=3000)
    seek, ours, spoken = 0, [], language
    while seek < sound.frames:
        heard = recognizer.hear(sound.window(seek))
        spoken = spoken or dictation.detect_language(recognizer, heard)
        written = dictation._written(
            recognizer,
            heard,
            dictation.opening(recognizer.shape, spoken, task, []),
            temperature=0.0,
            random=np.random.default_rng(0),
            text_of=vocabulary.decode,
            wanted=lambda: True,
        )
        segments, used = dictation.segments_of(recognizer.shape, written, seek, min(3000, sound.frames - seek))
        ours += [token for segment in segments for token in segment.tokens]
        seek += used

    wishes = {"task": task} | ({"language": language} if language else {})
    assert len(ours) > 20
    assert ours == transformers_tokens(source, samples(seconds), **wishes)


def test_the_openai_client_gets_transcripts_in_every_format(built):
    spec = ReplicaSpec(
        name="ear-0",
        owner="test",
        service="ear",
        tier="student",
        site="here",
        pool=0,
        variant="fp32",
        artifact=str(built.path),
        slots=2,
        context_tokens=448,
        threads=1,
        queue=4,
        memory_bytes=built.manifest.needs.resident_bytes,
    )
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples(35).tobytes())
    replica = Replica(spec)
    replica.start()
    try:
        assert replica.wait(60).phase is Phase.READY, replica.report().message
        with openai.OpenAI(base_url=replica.report().url + "/v1", api_key="none", max_retries=0) as client:

            def heard(**wishes):
                sound = ("a.wav", content.getvalue(), "audio/wav")
                # A text of a model without sense is sampled anew at temperature 0; at 0.4 it is written once.
                return client.audio.transcriptions.create(model="ear", file=sound, temperature=0.4, **wishes)

            text = heard().text
            verbose = heard(response_format="verbose_json", timestamp_granularities=["segment"], language="german")
            assert heard(response_format="text", language="de") == verbose.text + "\n"
            srt = heard(response_format="srt", language="de")
            assert heard(response_format="vtt", language="de").startswith("WEBVTT\n\n00:00:")
            english = client.audio.translations.create(model="ear", file=("a.wav", content.getvalue()), temperature=0.4)
            with pytest.raises(openai.BadRequestError, match="writes down speech and generates no text"):
                client.chat.completions.create(model="ear", messages=[{"role": "user", "content": "hi"}])
    finally:
        replica.stop(10)
    assert text
    assert english.text
    assert (verbose.task, verbose.language, verbose.duration) == ("transcribe", "german", 35.0)
    assert verbose.text == "".join(segment.text for segment in verbose.segments).strip()
    assert [segment.id for segment in verbose.segments] == list(range(len(verbose.segments)))
    assert all(segment.start < segment.end and segment.temperature == 0.4 for segment in verbose.segments)
    assert srt.startswith("1\n00:00:")
    assert srt.count(" --> ") == len(verbose.segments)


def test_an_int8_model_is_smaller_and_its_distance_is_recorded(source, built, build_here):
    found = build_here(source, "int8").manifest

    whole = built.manifest
    assert (whole.task, set(whole.files)) == ("transcription", {"encoder.onnx", "model.onnx", "tokenizer.json"})
    assert (whole.quality.greedy_agreement, whole.quality.tokens) == (1, 196)
    assert whole.quality.mean_cosine > 0.99999
    assert found.needs.weights_bytes < 0.6 * whole.needs.weights_bytes
    assert 0.9 < found.quality.mean_cosine < 0.99999
    assert (task_of(source), usual_quantization("transcription")) == ("transcription", "int8")


def test_graphs_that_hear_something_else_are_refused():
    heard, scores = np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)

    assert judge_hearing((heard, scores), (heard, scores)).mean_cosine == 1
    with pytest.raises(Refused, match=r"cosine similarity of 0\.3333"):
        judge_hearing((heard[[0, 2, 1]], scores), (heard, scores))
    with pytest.raises(Refused, match=r"write 33\.3% of its tokens"):
        judge_hearing((heard, scores[[0, 2, 1]]), (heard, scores))


def test_a_model_of_another_spectrogram_or_without_marks_is_refused(source, tmp_path):
    for path in source.iterdir():
        if path.suffix == ".json":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "generation_config.json").write_text('{"is_multilingual": false}')
    shape = read_speech_shape(tmp_path)
    assert (shape.languages, shape.tasks, shape.suppressed) == ({}, {}, ())

    (tmp_path / "preprocessor_config.json").write_text('{"sampling_rate": 8000}')
    with pytest.raises(Refused, match="sampling_rate is 8000; only 16000 is built"):
        read_speech_shape(tmp_path)

    (tmp_path / "preprocessor_config.json").unlink()
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"vocab_size": 405}))
    with pytest.raises(Invalid, match="names token 411; the model has 405"):
        read_speech_shape(tmp_path)

    text = (tmp_path / "tokenizer.json").read_text().replace("<|notimestamps|>", "<|other|>")
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(Invalid, match=r"has no token <\|notimestamps\|>"):
        read_speech_shape(tmp_path)
