"""Transcriptions over HTTP, with a speech model without weights behind them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from speech_scene import (
    DE,
    EN,
    FATAL,
    PATH,
    PREVIOUS,
    SILENT,
    STAMP,
    START,
    TRANSCRIBE,
    TRANSLATE,
    Parrot,
    form,
    said,
    serve,
    sound,
)

from runtimes.edge import transcriptions

TWO = [*said(" hello", 0, 2), *said(" you", 2, 4.5)]


async def until(true) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 the engine thread has no event to wait for
            await asyncio.sleep(0.002)


async def ask(client, content: bytes | None = None, **fields: Any) -> tuple[int, str]:
    response = await client.post(fields.pop("path", PATH), data=form(content, **fields))
    return response.status, await response.text()


def test_every_format_says_the_same(vocabulary):
    async def work(client, _engine):
        status, plain = await ask(client)
        assert (status, json.loads(plain)) == (
            200,
            {"text": "hello you", "usage": {"type": "duration", "seconds": 2}},
        )
        assert (await ask(client, response_format="text"))[1] == "hello you\n"
        lines = "1\n00:00:00,000 --> 00:00:02,000\nhello\n\n2\n00:00:02,000 --> 00:00:04,500\nyou\n\n"
        assert (await ask(client, response_format="srt"))[1] == lines
        lines = "WEBVTT\n\n00:00:00.000 --> 00:00:02.000\nhello\n\n00:00:02.000 --> 00:00:04.500\nyou\n\n"
        assert (await ask(client, response_format="vtt"))[1] == lines
        verbose = json.loads((await ask(client, response_format="verbose_json"))[1])
        assert (verbose["task"], verbose["language"], verbose["duration"]) == ("transcribe", "german", 2.0)
        first = verbose["segments"][0]
        assert (first["start"], first["end"], first["text"], first["id"]) == (0, 2, " hello", 0)
        assert (first["tokens"], first["temperature"], first["seek"]) == (TWO[:8], 0, 0)
        assert first["tokens"][0] == STAMP
        assert first["no_speech_prob"] < 0.01
        assert first["avg_logprob"] > -0.01

    serve(Parrot(TWO), vocabulary, work)


def test_the_next_window_begins_at_the_last_stamp_and_only_the_first_sees_the_prompt(vocabulary):
    cut = [*said(" one", 0, 12), *said(" two", 12, 20), STAMP + 20 * 50]  # another segment begins and is cut off
    parrot = Parrot(cut, said(" three", 0.5, 9))

    async def work(client, _engine):
        wishes = {"response_format": "verbose_json", "prompt": "Ann", "language": "English"}
        found = json.loads((await ask(client, sound(45), **wishes))[1])
        assert [(one["seek"], one["start"], one["end"], one["text"]) for one in found["segments"]] == [
            (0, 0, 12, " one"),
            (0, 12, 20, " two"),
            (2000, 20, 29, " three"),
        ]
        assert parrot.prompts == [[PREVIOUS, 220, 32, 77, 77, START, EN, TRANSCRIBE], [START, EN, TRANSCRIBE]]
        assert [one.shape for one in parrot.heard] == [(80, 3000)] * 2
        assert not parrot.heard[1][:, 2500:].any()  # 25 s are left in the second window

        english = json.loads((await ask(client, path="/v1/audio/translations", response_format="verbose_json"))[1])
        assert (english["task"], english["language"]) == ("translate", "english")
        assert parrot.prompts[2] == [START, DE, TRANSLATE]  # the language it found out

    serve(parrot, vocabulary, work)


def test_an_unlikely_text_is_written_again_less_strictly_and_silence_is_left_out(vocabulary):
    async def work(client, engine):
        parrot.likely = 0.0
        found = json.loads((await ask(client, response_format="verbose_json"))[1])
        assert len(parrot.prompts) == 6
        assert {one["temperature"] for one in found["segments"]} <= {1.0}
        await ask(client, temperature=0.3)
        assert len(parrot.prompts) == 7  # the client's own temperature is kept

        parrot.likely, parrot.windows = 20.0, [[SILENT]]
        assert json.loads((await ask(client))[1])["text"] == ""
        assert len(parrot.prompts) == 8
        assert engine.running == 0

    parrot = Parrot(TWO)
    serve(parrot, vocabulary, work)


@pytest.mark.parametrize(
    ("fields", "status", "sentence"),
    [
        ({"model": "gpt"}, 404, "The model 'gpt' does not exist here"),
        ({"content": b"plainly no sound"}, 400, "file is in a format that is not read here; send one of WAV"),
        ({"content": b"\0\0\0\x18ftypM4A "}, 400, "send one of WAV, FLAC, Ogg"),
        ({"content": sound(0)}, 400, "file holds no sound"),
        ({"content": sound(1)[:30]}, 400, "file begins as WAV and cannot be decoded"),
        ({"language": "tlh"}, 400, "language 'tlh' is not known to this model"),
        ({"stream": "true"}, 400, "stream is not supported here"),
        ({"timestamp_granularities": ["word"]}, 400, "only segment is supported"),
        ({"timestamp_granularities": ["segment"]}, 400, "needs response_format verbose_json"),
        ({"response_format": "xml"}, 400, "response_format must be 'json', 'text', 'verbose_json', 'srt' or 'vtt'"),
        ({"temperature": "2"}, 400, "temperature must be at most 1"),
        ({"chunking": "auto"}, 400, "chunking is not known here"),
        ({"prompt": "a" * 20000}, 400, "prompt"),
    ],
)
def test_what_cannot_be_heard_gets_one_sentence(vocabulary, fields, status, sentence):
    async def work(client, _engine):
        found, text = await ask(client, **fields)
        assert (found, sentence in json.loads(text)["error"]["message"]) == (status, True), text
        assert (await ask(client))[0] == 200

    serve(Parrot(TWO), vocabulary, work)


def test_bodies_that_are_no_form_or_too_large_are_refused(vocabulary, monkeypatch):
    async def work(client, _engine):
        broken = {"Content-Type": "multipart/form-data; boundary=x"}
        for body, headers, sentence in [
            (b"{}", {"Content-Type": "application/json"}, "must be multipart/form-data"),
            (b"--y\r\n", broken, "not well-formed"),
            (b"", {"Content-Type": "multipart/form-data"}, "not well-formed"),
            (
                b'--x\r\nContent-Disposition: form-data; name="model"\r\n\r\near\r\n--x--\r\n',
                broken,
                "file is required",
            ),
        ]:
            response = await client.post(PATH, data=body, headers=headers)
            assert (response.status, sentence in (await response.json())["error"]["message"]) == (400, True), body
        monkeypatch.setattr(transcriptions, "BODY_LIMIT_BYTES", 1000)
        assert (await ask(client))[0] == 413
        assert (await client.post("/v1/completions", json={"model": "ear", "prompt": "a"})).status == 400

    serve(Parrot(TWO), vocabulary, work)


def test_a_full_queue_turns_away_who_leaves_makes_room_and_a_failure_is_one_answer(vocabulary):
    async def work(client, engine):
        parrot.gate.clear()
        first = asyncio.ensure_future(ask(client))
        await until(lambda: engine.running == 1)
        second = asyncio.ensure_future(ask(client))
        await until(lambda: engine.waiting == 1)
        response = await client.post(PATH, data=form())
        assert (response.status, "Retry-After" in response.headers) == (429, True)
        second.cancel()
        first.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        await until(lambda: engine.running + engine.waiting == 0)
        steps = parrot.steps
        parrot.gate.set()
        assert parrot.steps <= steps + 1  # nothing more was written for them
        parrot.windows = [[*said(" a", 0, 1), FATAL]]
        assert (await ask(client))[0] == 500
        parrot.windows = [TWO]
        assert (await ask(client))[0] == 200
        engine.drain()
        assert (await ask(client))[0] == 503
        assert (await client.get("/readyz")).status == 503

    parrot = Parrot(TWO)
    serve(parrot, vocabulary, work, slots=1, queue=1)


def test_long_sounds_share_the_model_window_by_window(vocabulary):
    async def work(client, engine):
        parrot.gate.clear()
        long = asyncio.ensure_future(ask(client, sound(100)))
        await until(lambda: engine.running == 1)
        short = asyncio.ensure_future(ask(client))
        await until(lambda: engine.waiting == 1)
        parrot.gate.set()
        done, _ = await asyncio.wait({long, short}, return_when=asyncio.FIRST_COMPLETED)
        assert short in done
        assert (await long)[0] == 200
        assert len(parrot.heard) == 5

    parrot = Parrot(said(" a", 0, 29))
    serve(parrot, vocabulary, work)


def test_files_that_come_slowly_do_not_pile_up(vocabulary, monkeypatch):
    monkeypatch.setattr(transcriptions, "BODIES", 1)

    async def work(client, _engine):
        begun, rest = asyncio.Event(), asyncio.Event()

        async def slowly():
            yield b"--x\r\n"
            begun.set()
            await rest.wait()

        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        first = asyncio.ensure_future(client.post(PATH, data=slowly(), headers=headers))
        await begun.wait()
        response = await client.post(PATH, data=form())
        while response.status == 200:  # the first one's headers were still on their way
            response = await client.post(PATH, data=form())
        assert (response.status, "1 sound files are being taken in" in await response.text()) == (429, True)
        rest.set()
        assert (await first).status == 400
        assert (await ask(client))[0] == 200

    serve(Parrot(TWO), vocabulary, work)
