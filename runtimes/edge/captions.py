"""A transcript as it leaves: OpenAI's `verbose_json`, and the subtitle formats SRT and WebVTT.

Pure. Called by `runtimes.edge.transcriptions`.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from runtimes.edge.dictation import Segment

MS_A_S, S_A_MIN, MIN_A_H = 1000, 60, 60


@dataclass(frozen=True)
class Caption:
    """A segment with its text."""

    segment: Segment
    text: str


def text_of(captions: Sequence[Caption]) -> str:
    """All that was said."""
    return "".join(caption.text for caption in captions).strip()


def srt(captions: Sequence[Caption]) -> str:
    """SubRip: numbered, with a comma before the milliseconds."""
    return "".join(
        f"{number}\n{_span(caption, ',')}\n{_lines(caption).replace('-->', '->')}\n\n"
        for number, caption in enumerate(captions, start=1)
    )


def vtt(captions: Sequence[Caption]) -> str:
    """WebVTT, in which the text is escaped."""
    return "WEBVTT\n\n" + "".join(
        f"{_span(caption, '.')}\n{html.escape(_lines(caption), quote=False)}\n\n" for caption in captions
    )


def segment(number: int, caption: Caption) -> dict[str, Any]:
    """One segment of `verbose_json`."""
    one = caption.segment
    return {
        "id": number,
        "seek": one.seek,
        "start": round(one.start_s, 2),
        "end": round(one.end_s, 2),
        "text": caption.text,
        "tokens": list(one.tokens),
        "temperature": one.written.temperature,
        "avg_logprob": one.written.mean_logprob,
        "compression_ratio": one.written.compression,
        "no_speech_prob": one.written.no_speech,
    }


def _span(caption: Caption, mark: str) -> str:
    return f"{_clock(caption.segment.start_s, mark)} --> {_clock(caption.segment.end_s, mark)}"


def _clock(seconds: float, mark: str) -> str:
    whole, ms = divmod(round(seconds * MS_A_S), MS_A_S)
    minutes, s = divmod(whole, S_A_MIN)
    hours, minutes = divmod(minutes, MIN_A_H)
    return f"{hours:02}:{minutes:02}:{s:02}{mark}{ms:03}"


def _lines(caption: Caption) -> str:
    """The text without blank lines, which would end it."""
    return "\n".join(line for line in caption.text.strip().splitlines() if line.strip())
