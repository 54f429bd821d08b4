"""One streamed chat completion, timed; whatever the server does becomes a `Sample`, in bounded memory and time.

Nothing of an answer is kept but times and counts. Redirects are not followed, so that a key goes nowhere else, and
nothing is unpacked. Called by `orchestrator.adapters.load_test.drive`.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import aiohttp

from orchestrator.core.verification.measured import Fault, Sample

LONGEST_LINE_BYTES = 256 * 1024
SPARE_BYTES, BYTES_PER_TOKEN = 1 << 20, 4096  # an answer longer than that has no end
SPARE_PIECES = 64
LONGEST_PROMPT_TOKENS = 10_000_000  # a server that counts more counts wrong
REFUSAL_BYTES, REFUSAL_S = 4096, 2.0  # of what a server says with its refusal
LONGEST_SAYING = 200  # characters
ENDING_S = 1.0  # after the last event, for the connection to become free
REFUSED = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
TEXTS = ("content", "reasoning_content", "reasoning")  # of a delta; engines name thoughts in two ways


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is asked.

    Attributes:
        url: of the API, without what follows `/v1`.
        model: name it goes by there.
        key: sent as a bearer token; empty sends none.
        extras: fields of every request besides the usual ones.
    """

    url: str
    model: str
    key: str = field(default="", repr=False)
    extras: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked and when: seconds after the run begins."""

    at_s: float
    prompt: str
    output_tokens: int


class _Bad(Exception):
    """The answer is of no use."""

    def __init__(self, fault: Fault, said: str, status: int = 0) -> None:
        super().__init__(said)
        self.fault, self.said, self.status = fault, said, status


@dataclass(slots=True)
class _Answer:
    """What has come of an answer so far."""

    asked_tokens: int
    first_s: float = math.nan
    last_s: float = math.nan
    pieces: int = 0
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    finished: bool = False  # a reason to end was given
    done: bool = False  # the protocol's last event came

    def take(self, line: bytes, now_s: float) -> None:
        """One line of the stream. Raises _Bad."""
        if not line.startswith(b"data:"):
            return
        text = line[5:].strip()
        if text == b"[DONE]":
            self.done = True
            return
        try:
            event = json.loads(text)
            self._take(event, now_s)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
            raise _Bad(Fault.WRONG, f"an event that is none of the protocol: {_shown(text)}") from exc

    def _take(self, event: dict[str, Any], now_s: float) -> None:
        if event.get("error"):
            error = event["error"]
            raise _Bad(Fault.BROKEN, _plain(error.get("message", error) if isinstance(error, dict) else error))
        usage = event.get("usage")
        if usage:
            self.prompt_tokens = _count(usage.get("prompt_tokens"), LONGEST_PROMPT_TOKENS)
            self.output_tokens = _count(usage.get("completion_tokens"), self.asked_tokens)
        for choice in event.get("choices") or ():
            delta = choice.get("delta") or {}
            if any(delta.get(name) for name in TEXTS):
                self.pieces += 1
                self.last_s = now_s
                if self.pieces == 1:
                    self.first_s = now_s
            self.finished = self.finished or bool(choice.get("finish_reason"))
        if self.pieces > self.asked_tokens + SPARE_PIECES:
            raise _Bad(Fault.WRONG, f"more pieces than the {self.asked_tokens} tokens that were asked for")


class Client:
    """Asks one endpoint. `clock` gives seconds."""

    def __init__(
        self, session: aiohttp.ClientSession, endpoint: Endpoint, *, patience_s: float, clock: Callable[[], float]
    ) -> None:
        """A request may take `patience_s` seconds in all."""
        self._session, self._endpoint = session, endpoint
        self._patience_s, self._clock = patience_s, clock
        self._headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        if endpoint.key:
            self._headers["Authorization"] = f"Bearer {endpoint.key}"

    async def ask(self, request: Request, due_s: float) -> Sample:
        """Ask, read the answer to its end, and say how it went."""
        answer, sent_s = _Answer(request.output_tokens), self._clock()
        fault: Fault | None = None
        said, status = "", 0
        try:
            async with asyncio.timeout(self._patience_s):
                await self._read(request, answer)
        except _Bad as bad:
            fault, said, status = bad.fault, bad.said, bad.status
        except aiohttp.ConnectionTimeoutError as exc:
            fault, said = Fault.UNREACHABLE, _plain(exc)
        except TimeoutError:
            fault, said = Fault.TIMEOUT, f"no end after {self._patience_s:g} s"
        except aiohttp.ClientConnectorError as exc:
            fault, said = Fault.UNREACHABLE, _unreachable(exc)
        except (aiohttp.ClientError, OSError, EOFError, ValueError) as exc:
            fault, said = Fault.BROKEN, _plain(exc) or type(exc).__name__
        return Sample(
            due_s=due_s,
            sent_s=sent_s,
            first_s=answer.first_s,
            last_s=answer.last_s,
            pieces=answer.pieces,
            prompt_tokens=answer.prompt_tokens,
            output_tokens=answer.output_tokens,
            fault=fault,
            status=status,
            said=said,
        )

    async def _read(self, request: Request, answer: _Answer) -> None:
        body = {
            "model": self._endpoint.model,
            "messages": [{"role": "user", "content": request.prompt}],
            "max_tokens": request.output_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
            **self._endpoint.extras,
        }
        url = f"{self._endpoint.url}/chat/completions"
        posted = self._session.post(url, json=body, headers=self._headers, allow_redirects=False)
        async with posted as response:
            if response.status != HTTPStatus.OK:
                raise await _refusal(response)
            await self._stream(response, answer)

    async def _stream(self, response: aiohttp.ClientResponse, answer: _Answer) -> None:
        room = SPARE_BYTES + BYTES_PER_TOKEN * answer.asked_tokens
        rest = b""
        async for chunk in response.content.iter_any():
            now_s = self._clock()
            room -= len(chunk)
            if room < 0:
                raise _Bad(Fault.WRONG, "far more bytes than the tokens that were asked for")
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                answer.take(line.rstrip(b"\r"), now_s)
            if answer.done:
                break
            if len(rest) > LONGEST_LINE_BYTES:
                raise _Bad(Fault.WRONG, f"a line of more than {LONGEST_LINE_BYTES} bytes")
        if not answer.done:
            answer.take(rest, self._clock())
        if not (answer.done or answer.finished):
            what = "no event of the protocol" if not answer.pieces else f"{answer.pieces} pieces and no end"
            raise _Bad(Fault.BROKEN if answer.pieces else Fault.WRONG, f"the answer had {what}")
        if not answer.pieces:
            raise _Bad(Fault.WRONG, "an empty answer")
        await _let_go(response)


async def _let_go(response: aiohttp.ClientResponse) -> None:
    """Wait a moment for the end of the body, so that the connection can be used again."""
    try:
        async with asyncio.timeout(ENDING_S):
            if await response.content.readany():
                response.close()
    except (TimeoutError, aiohttp.ClientError, OSError):
        response.close()


async def _refusal(response: aiohttp.ClientResponse) -> _Bad:
    """What a server said instead of an answer."""
    try:
        async with asyncio.timeout(REFUSAL_S):
            text = await response.content.read(REFUSAL_BYTES)
    except (TimeoutError, aiohttp.ClientError, OSError):
        text = b""
    response.close()
    fault = Fault.REFUSED if response.status in REFUSED else Fault.STATUS
    try:
        message = json.loads(text)["error"]["message"]
    except (ValueError, TypeError, KeyError, RecursionError):
        message = _shown(text)
    where = response.headers.get("Location")
    told = f"a redirect to {where}, which is not followed" if where else message
    return _Bad(fault, f"{response.status} {_plain(told)}".strip(), response.status)


def _count(given: Any, most: int) -> int | None:
    """A number of tokens, if it can be one."""
    return given if isinstance(given, int) and not isinstance(given, bool) and 0 < given <= most else None


def _shown(text: bytes) -> str:
    return _plain(text[:LONGEST_SAYING].decode(errors="replace"))


def _unreachable(exc: aiohttp.ClientConnectorError) -> str:
    """Why no connection came about; a bad certificate is no error of the system, and says itself what it is."""
    because = getattr(exc, "os_error", None)
    if isinstance(because, ConnectionRefusedError):
        return "nothing listens there"
    reason = because.strerror if isinstance(because, OSError) else None
    return f"no connection: {_plain(reason)}" if reason else _plain(exc)


def _plain(said: Any) -> str:
    """One short line without anything that a terminal would obey."""
    line = " ".join(str(said)[: 2 * LONGEST_SAYING].split())
    return "".join(c for c in line if c.isprintable())[:LONGEST_SAYING]
