"""A Whisper model to two graphs for the edge: an encoder, and a decoder with and without caches as branches of one.

Optimum exports the branches apart; they are quantized apart and then joined, so that they share their weights. The
result is held against the float32 model. Called by `runtimes.build.worker`, in its process.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from optimum.exporters.onnx import onnx_export_from_model
from optimum.onnx import merge_decoders
from tokenizers import Tokenizer
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

from runtimes.build.evaluate import evaluation_text
from runtimes.build.exported import (
    GRAPH_FILE,
    INT8_BITS,
    LOOKUPS_AND_MATRICES,
    advanced,
    in_eight_bits,
    resident_bytes,
    settle,
    weights_bytes,
)
from runtimes.build.job import Findings, Job, Progress
from runtimes.build.resident import Decoding, open_graph
from runtimes.build.speech_shape import read_speech_shape
from runtimes.build.staging import TOKENIZER_FILE, link_files
from runtimes.contract import Hearing, Needs, SpeechShape
from runtimes.errors import Invalid, Refused

NAME = "transformers WhisperForConditionalGeneration, float32"
ENCODER_FILE = "encoder.onnx"
PARTS = ("encoder_model.onnx", "decoder_model.onnx", "decoder_with_past_model.onnx")
TEXT_TOKENS = 160  # of the shipped text, read after the sound in one piece
STEPPED_TOKENS = 32  # and then one by one, from the caches
LEAST_COSINE = 0.9
LEAST_AGREEMENT = 0.5  # graphs below either are broken, not merely quantized
RATE = 16000

Floats = NDArray[np.float32]


def work_speech(job: Job, progress: Progress) -> Findings:
    """Builds and measures; both graphs and the tokenizer are in the job's folder afterwards.

    Raises:
        Invalid, Refused: the source cannot be built, or the graphs hear or write something else than the model.
    """
    folder, scratch = Path(job.folder), Path(job.work)
    source, export = scratch / "source", scratch / "export"
    source.mkdir()
    link_files(Path(job.source), source)
    shape = read_speech_shape(source)
    step = advanced(progress, "export")
    step(0, 2)
    model = _load(source)
    step(1, 2)
    sound, text = _features(shape), _text(source / TOKENIZER_FILE, shape)
    wanted = _model_reading(model, sound, text)
    with torch.no_grad():
        task = "automatic-speech-recognition-with-past"
        onnx_export_from_model(model, export, task=task, no_post_process=True, do_validation=False)
    del model
    step(2, 2)
    step = advanced(progress, "quantize")
    step(0, 2)
    encoder, first, later = (export / name for name in PARTS)
    if job.bits == INT8_BITS:
        quantized = scratch / "quantized"
        encoder, first, later = (
            in_eight_bits(part, quantized, operators=LOOKUPS_AND_MATRICES) for part in (encoder, first, later)
        )
    step(1, 2)
    merge_decoders(first, later, save_path=scratch / GRAPH_FILE, strict=False)
    settle(encoder, folder / ENCODER_FILE)
    settle(scratch / GRAPH_FILE, folder / GRAPH_FILE)
    step(2, 2)
    step = advanced(progress, "evaluate")
    step(0, 1)
    quality = judge_hearing(_graph_reading(folder, shape, sound, text), wanted)
    step(1, 1)
    shutil.copyfile(source / TOKENIZER_FILE, folder / TOKENIZER_FILE)
    step = advanced(progress, "measure memory")
    step(0, 1)
    needs = Needs(
        weights_bytes=weights_bytes(folder),
        resident_bytes=resident_bytes(str(folder / GRAPH_FILE), str(shape.context_tokens), str(folder / ENCODER_FILE)),
        kv_bytes_per_token=0,  # one window at a time is decoded; its caches are in the resident memory
    )
    step(1, 1)
    return Findings(shape=shape, needs=needs, quality=quality)


def judge_hearing(found: tuple[Floats, Floats], wanted: tuple[Floats, Floats]) -> Hearing:
    """The figures for the manifest, from what each made of the sound [places, width] and of the text [tokens, scores].

    Raises:
        Refused: the graphs are far from the model.
    """
    (heard, scores), (wanted_heard, wanted_scores) = found, wanted
    lengths = np.linalg.norm(heard, axis=1) * np.linalg.norm(wanted_heard, axis=1)
    cosine = float(np.mean((heard * wanted_heard).sum(axis=1) / lengths))
    agreement = float(np.mean(scores.argmax(axis=1) == wanted_scores.argmax(axis=1)))
    if not (cosine >= LEAST_COSINE and agreement >= LEAST_AGREEMENT):
        raise Refused(
            f"the graphs hear the trial sound with a mean cosine similarity of {cosine:.4f} to the float32 model and "
            f"write {agreement:.1%} of its tokens; below {LEAST_COSINE} or {LEAST_AGREEMENT:.0%} nothing is published"
        )
    return Hearing(reference=NAME, mean_cosine=min(1.0, cosine), tokens=len(scores), greedy_agreement=agreement)


def trial_sound(samples: int) -> Floats:
    """A made-up sound between -1 and 1, always the same: gliding voices with syllables, over a little noise."""
    seconds = np.arange(samples) / RATE
    random = np.random.default_rng(20)
    pitch = 140 + 40 * np.sin(2 * np.pi * 0.31 * seconds) + 15 * np.sin(2 * np.pi * 1.7 * seconds)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    voice = sum(np.sin(k * phase) / k * (1 + np.sin(2 * np.pi * (0.4 + 0.13 * k) * seconds)) for k in range(1, 24))
    syllables = np.clip(np.sin(2 * np.pi * 2.3 * seconds) + 0.4 * np.sin(2 * np.pi * 0.37 * seconds), 0, None)
    sound = voice * syllables + 0.02 * random.standard_normal(samples)
    return np.asarray(0.7 * sound / np.abs(sound).max(), np.float32)


def _features(shape: SpeechShape) -> Floats:
    extractor = WhisperFeatureExtractor(feature_size=shape.mels, chunk_length=shape.window_frames // 100)
    sound = trial_sound(shape.window_frames * 160)
    return np.asarray(extractor(sound, sampling_rate=RATE, return_tensors="np").input_features, np.float32)


def _text(tokenizer: Path, shape: SpeechShape) -> list[int]:
    text: list[int] = Tokenizer.from_file(str(tokenizer)).encode(evaluation_text(), add_special_tokens=False).ids
    opening = [shape.start_token, *list(shape.languages.values())[:1]]
    opening += [shape.tasks["transcribe"]] if "transcribe" in shape.tasks else []
    room = min(TEXT_TOKENS + STEPPED_TOKENS, shape.context_tokens - len(opening) - 1)
    text = [token for token in text if token < shape.vocabulary][:room]
    if len(text) <= STEPPED_TOKENS:
        raise Invalid("the tokenizer makes hardly a token of the evaluation text; that of a Whisper model was expected")
    return [*opening, shape.no_timestamps_token, *text]


def _load(source: Path) -> torch.nn.Module:
    model, loading = WhisperForConditionalGeneration.from_pretrained(
        source, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, output_loading_info=True
    )
    lost = sorted([*loading["missing_keys"], *(name for name, *_ in loading["mismatched_keys"])])
    if missing := [name for name in lost if name != "proj_out.weight"]:  # it is the table of tokens, stored once
        raise Invalid(f"{source.name}: {len(missing)} weights are missing or misshapen, the first is {missing[0]}")
    return model.eval()


def _model_reading(model: torch.nn.Module, sound: Floats, text: list[int]) -> tuple[Floats, Floats]:
    with torch.no_grad():
        heard = model.get_encoder()(torch.from_numpy(sound)).last_hidden_state
        scores = model(encoder_outputs=(heard,), decoder_input_ids=torch.tensor([text])).logits
    return heard[0].numpy(), scores[0].numpy()


def _graph_reading(folder: Path, shape: SpeechShape, sound: Floats, text: list[int]) -> tuple[Floats, Floats]:
    (heard,) = open_graph(str(folder / ENCODER_FILE)).run(["last_hidden_state"], {"input_features": sound})
    decoding = Decoding(open_graph(str(folder / GRAPH_FILE)), heard)
    scores = [decoding.read(text[:-STEPPED_TOKENS]), *(decoding.read([token]) for token in text[-STEPPED_TOKENS:])]
    if scores[0].shape[-1] != shape.vocabulary:
        raise Refused(f"the decoder scores {scores[0].shape[-1]} tokens, config.json says {shape.vocabulary}")
    return heard[0], np.concatenate(scores)
