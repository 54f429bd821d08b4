"""What a speech model's files say of its tokens and its spectrogram: the shape for the manifest.

Special tokens are known by their spelling in the tokenizer; generation_config.json adds what is suppressed. Called by
`runtimes.build.speech`.
"""

from __future__ import annotations

import re
from pathlib import Path

from tokenizers import Tokenizer

from runtimes.build.directory import Json, read_json
from runtimes.contract import SpeechShape
from runtimes.errors import Invalid, Refused

# The spectrogram that the edge server computes; a model trained on another would hear noise.
SPECTROGRAM = {"sampling_rate": 16000, "n_fft": 400, "hop_length": 160}
FRAMES_A_PLACE = 2  # the encoder halves the frames
LANGUAGE = re.compile(r"<\|([a-z]{2,3})\|>")
TASK_NAMES = ("transcribe", "translate")


def read_speech_shape(folder: Path) -> SpeechShape:
    """What the edge server must know, from the staged folder.

    Raises:
        Invalid: a setting or a token is missing or impossible.
        Refused: the model hears another spectrogram.
    """
    config, generation = read_json(folder / "config.json"), read_json(folder / "generation_config.json")
    heard = read_json(folder / "preprocessor_config.json")
    for name, value in SPECTROGRAM.items():
        if heard.get(name, value) != value:
            raise Refused(f"preprocessor_config.json: {name} is {str(heard[name])[:20]}; only {value} is built")
    tokens: dict[str, int] = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab(with_added_tokens=True)
    heads, width = _count(config, "decoder_attention_heads"), _count(config, "d_model")
    no_speech = tokens.get("<|nospeech|>", tokens.get("<|nocaptions|>"))
    shape = SpeechShape(
        mels=_count(config, "num_mel_bins"),
        window_frames=FRAMES_A_PLACE * _count(config, "max_source_positions"),
        layers=_count(config, "decoder_layers"),
        heads=heads,
        head_dim=width // heads,
        vocabulary=_count(config, "vocab_size"),
        context_tokens=_count(config, "max_target_positions"),
        start_token=_token(tokens, "<|startoftranscript|>"),
        end_token=_token(tokens, "<|endoftext|>"),
        no_timestamps_token=_token(tokens, "<|notimestamps|>"),
        previous_token=tokens.get("<|startofprev|>"),
        no_speech_token=no_speech,
        languages=_languages(generation, tokens),
        tasks=_tasks(generation, tokens),
        suppressed=_ids(generation, config, "suppress_tokens"),
        suppressed_first=_ids(generation, config, "begin_suppress_tokens"),
        latest_start=_index(generation, "max_initial_timestamp_index"),
    )
    named = {shape.start_token, shape.end_token, *shape.languages.values(), *shape.tasks.values(), *shape.suppressed}
    highest = max(*named, *shape.suppressed_first, shape.no_timestamps_token + 1)
    if highest >= shape.vocabulary:
        raise Invalid(
            f"the tokenizer or generation_config.json names token {highest}; the model has {shape.vocabulary}"
        )
    if not shape.end_token < shape.start_token < shape.no_timestamps_token:
        raise Refused("tokenizer.json: its special tokens are in another order than Whisper's")
    return shape


def _several(generation: Json) -> bool:
    """Whether the model knows languages and tasks; without a word on it, its tokens decide."""
    return generation.get("is_multilingual", True) is not False


def _languages(generation: Json, tokens: dict[str, int]) -> dict[str, int]:
    named = generation.get("lang_to_id")
    if isinstance(named, dict):
        found = {str(name).strip("<|>"): number for name, number in named.items() if isinstance(number, int)}
    else:
        found = {match[1]: tokens[name] for name in tokens if (match := LANGUAGE.fullmatch(name))}
    return dict(sorted(found.items(), key=lambda entry: entry[1])) if _several(generation) else {}


def _tasks(generation: Json, tokens: dict[str, int]) -> dict[str, int]:
    if not _several(generation):
        return {}
    return {name: tokens[f"<|{name}|>"] for name in TASK_NAMES if f"<|{name}|>" in tokens}


def _token(tokens: dict[str, int], name: str) -> int:
    if name not in tokens:
        raise Invalid(f"tokenizer.json has no token {name}; the tokenizer of a Whisper model was expected")
    return tokens[name]


def _ids(generation: Json, config: Json, key: str) -> tuple[int, ...]:
    value = (generation or config).get(key)  # older models have it beside their sizes
    numbers = value if isinstance(value, list) else []
    return tuple(number for number in numbers if isinstance(number, int) and number >= 0)


def _index(generation: Json, key: str) -> int | None:
    value = generation.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _count(config: Json, key: str) -> int:
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise Invalid(f"config.json: {key} must be a positive whole number, found {str(value)[:40]}")
    return value
