"""`POST /v1/audio/transcriptions` and `/v1/audio/translations`, in OpenAI's shape.

A translation goes into English, as the model knows no other. Files are decoded off the event loop, by
`runtimes.edge.sound`; what is said in them is found in `runtimes.edge.hearing`. Called by `runtimes.edge.server`.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from runtimes.edge import captions
from runtimes.edge.captions import Caption
from runtimes.edge.complaints import BadField, read
from runtimes.edge.dictation import words
from runtimes.edge.forms import Form, read_form
from runtimes.edge.generation import Full
from runtimes.edge.hearing import Hearing, Speech, Transcript
from runtimes.edge.languages import LANGUAGES
from runtimes.edge.mel import Spectrogram
from runtimes.edge.metrics import EdgeMetrics, Outcome
from runtimes.edge.sound import read_sound
from runtimes.edge.tokens import Vocabulary

PATHS = {"/v1/audio/transcriptions": "transcribe", "/v1/audio/translations": "translate"}
BODY_LIMIT_BYTES = 25 << 20  # as OpenAI allows
BODY_S = 120.0  # in which a body has to arrive
BODIES = 8  # taken in and decoded at once; more are turned away, so that uploads do not fill the memory
RETRY_S = 2.0
LONGEST_PROMPT = 16384  # characters; the model reads the last 223 tokens
ENGLISH = "en"
TYPES = {"srt": "application/x-subrip", "vtt": "text/vtt", "text": "text/plain"}


@dataclass(frozen=True)
class SpeechServed:
    """What the server answers with; `names` are the model names it goes by, the first one in `/v1/models`."""

    does: ClassVar[str] = "writes down speech"
    ask: ClassVar[str] = "/v1/audio/transcriptions"

    engine: Hearing
    vocabulary: Vocabulary
    names: tuple[str, ...]
    made_s: int


class SpeechWish(BaseModel):
    """Fields of `POST /v1/audio/transcriptions` and `/v1/audio/translations`, besides the file."""

    model_config = ConfigDict(extra="forbid")

    model: str
    language: str | None = None
    prompt: str | None = Field(default=None, max_length=LONGEST_PROMPT)
    response_format: Literal["json", "text", "verbose_json", "srt", "vtt"] = "json"
    temperature: float = Field(default=0.0, ge=0, le=1)
    timestamp_granularities: list[Literal["segment", "word"]] = Field(default_factory=list)
    stream: bool = False


async def answer(
    request: web.Request, named: Callable[[str], object], metrics: EdgeMetrics, uploads: asyncio.Semaphore
) -> web.Response:
    """Answer one request.

    Args:
        request: to one of `PATHS`.
        named: what is served under a model's name.
        metrics: where it is counted.
        uploads: held while a body is taken in.

    Raises:
        HeadwaterError: the form is wrong, the file cannot be read, or there is no room now.
        TimeoutError: the body did not arrive in time.
        web.HTTPRequestEntityTooLarge: the body is larger than the limit.
    """
    task = PATHS[request.path]
    if uploads.locked():
        raise Full(f"{BODIES} sound files are being taken in already.", retry_in_s=RETRY_S)
    async with uploads:
        async with asyncio.timeout(BODY_S):
            form = await read_form(request, limit_bytes=BODY_LIMIT_BYTES)
        wish = read(SpeechWish, form.fields)
        served = named(wish.model)
        if not isinstance(served, SpeechServed):
            raise BadField(f"{wish.model[:100]!r} hears no speech.", param="model")
        language = _language(wish, task, served.engine)
        served.engine.check_room()
        speech = await asyncio.get_running_loop().run_in_executor(None, _speech, form, wish, language, task, served)
    began_s = time.monotonic()
    pending = served.engine.submit(speech)
    metrics.accepted(len(speech.prompt))
    try:
        found = await pending
    except asyncio.CancelledError:
        metrics.ended(Outcome.LEFT)
        raise
    metrics.generated(found.tokens, time.monotonic() - began_s)
    metrics.ended(Outcome.ANSWERED)
    return _answered(wish, task, speech, found, served)


def _language(wish: SpeechWish, task: str, engine: Hearing) -> str:
    """Code of the language that is spoken; empty lets the model find out."""
    shape = engine.shape
    if wish.stream:
        raise BadField("stream is not supported here; leave it out.", param="stream")
    if "word" in wish.timestamp_granularities:
        raise BadField("timestamp_granularities: only segment is supported here.", param="timestamp_granularities")
    if wish.timestamp_granularities and wish.response_format != "verbose_json":
        raise BadField("timestamp_granularities needs response_format verbose_json.", param="timestamp_granularities")
    if task == "translate" and task not in shape.tasks:
        raise BadField("This model transcribes only; ask /v1/audio/transcriptions.", param="model")
    if not wish.language:
        return ""
    asked = wish.language.lower()
    code = next((code for code, name in LANGUAGES.items() if name == asked), asked)
    if code not in (shape.languages or {ENGLISH: 0}):
        raise BadField(
            f"language {wish.language[:40]!r} is not known to this model; give an ISO 639-1 code such as en.",
            param="language",
        )
    return code


def _speech(form: Form, wish: SpeechWish, language: str, task: str, served: SpeechServed) -> Speech:
    """Runs in a thread: decoding an hour takes seconds."""
    shape = served.engine.shape
    prompt = served.vocabulary.encode_as_text(" " + wish.prompt.strip()) if wish.prompt else []
    sound = Spectrogram(read_sound(form.file), mels=shape.mels, window_frames=shape.window_frames)
    room = shape.context_tokens // 2 - 1
    return Speech(sound, language, task, words(shape, prompt)[-room:], wish.temperature)


def _answered(wish: SpeechWish, task: str, speech: Speech, found: Transcript, served: SpeechServed) -> web.Response:
    shape = served.engine.shape
    said = [Caption(one, served.vocabulary.decode(words(shape, one.tokens))) for one in found.segments]
    text = captions.text_of(said)
    if wish.response_format in TYPES:
        written = {"srt": captions.srt(said), "vtt": captions.vtt(said), "text": text + "\n"}[wish.response_format]
        return web.Response(text=written, content_type=TYPES[wish.response_format])
    body: dict[str, Any] = {"text": text}
    if wish.response_format == "verbose_json":
        spoken = ENGLISH if task == "translate" else found.language or ENGLISH
        body = {
            "task": task,
            "language": LANGUAGES.get(spoken, spoken),
            "duration": round(speech.sound.seconds, 2),
            "text": text,
            "segments": [captions.segment(number, caption) for number, caption in enumerate(said)],
        }
    return web.json_response(body | {"usage": {"type": "duration", "seconds": math.ceil(speech.sound.seconds)}})
