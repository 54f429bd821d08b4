"""One file over HTTP into a folder, resumed where an earlier try stopped, and its checksum.

Called by `verified` beside this file. A proxy of the environment is used, a redirect followed; nothing but http and
https is opened. Which files there are is `listing`.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

from runtimes.errors import Invalid, Refused, Unavailable
from runtimes.fetch.listing import Entry

READ_BYTES = 4 << 20
TIMEOUT_S = 60.0
TRIES = 5
FIRST_PAUSE_S = 1.0

Pause = Callable[[float], None]
T = TypeVar("T")


def address(mirror: str, *names: str) -> str:
    """The address of a file below a mirror.

    Raises:
        Invalid: the mirror is no http or https address.
    """
    if not mirror.startswith(("http://", "https://")):
        raise Invalid(f"mirror {mirror[:80]!r} is no address; write it like https://weights.example/models")
    return "/".join([mirror.rstrip("/"), *(quote(name) for name in names)])


def text(url: str, most_bytes: int, pause: Pause = time.sleep) -> bytes:
    """A small file.

    Raises:
        Refused: it is not there, or larger than `most_bytes`.
        Unavailable: the mirror does not answer.
    """

    def read() -> bytes:
        with _opened(url, 0) as answer:
            promised = answer.length
            found = answer.read(most_bytes + 1)
        if promised is not None and len(found) < min(promised, most_bytes):
            raise ConnectionError(f"{len(found)} of {promised} bytes came")
        return found

    found = _patiently(read, url, pause)
    if len(found) > most_bytes:
        raise Refused(f"{url} has more than {most_bytes} bytes; that is no list of weights")
    return found


def fetch(url: str, path: Path, entry: Entry, pause: Pause = time.sleep) -> None:
    """Bring one file to `path` and verify it. What an earlier try left there is gone on from, not fetched again.

    Raises:
        Refused: the file is not there or is not the one that was listed; what came is removed.
        Unavailable: the mirror does not answer, or stops before the end.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _patiently(lambda: _append(url, path, entry), url, pause)
    found = sha256(path)
    if found != entry.sha256:
        path.unlink()
        raise Refused(f"{url} has SHA-256 {found[:12]}…, not {entry.sha256[:12]}…; the mirror has another file")


def sha256(path: Path) -> str:
    """Of a file.

    Raises:
        Refused: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb", buffering=0) as stream:
            while chunk := stream.read(READ_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def _append(url: str, path: Path, entry: Entry) -> None:
    have = path.stat().st_size if path.exists() else 0
    if entry.size_bytes is not None and have >= entry.size_bytes:
        return
    try:
        with _opened(url, have) as answer:
            if have and answer.status != HTTPStatus.PARTIAL_CONTENT:
                have = 0  # the mirror cannot resume
            with path.open("r+b" if have else "wb") as stream:
                stream.seek(have)
                _copy(answer, stream)
    except HTTPError as error:
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        error.close()  # nothing is left to fetch: the checksum says whether it is all of it


def _copy(answer: HTTPResponse, stream: BinaryIO) -> None:
    promised, came = answer.length, 0
    while chunk := answer.read(READ_BYTES):
        stream.write(chunk)
        came += len(chunk)
    stream.flush()
    os.fsync(stream.fileno())
    if promised is not None and came < promised:
        raise ConnectionError(f"{came} of {promised} bytes came")


def _opened(url: str, start: int) -> HTTPResponse:
    request = Request(url, headers={"Range": f"bytes={start}-"} if start else {})  # noqa: S310  `address` checked it
    opened: HTTPResponse = urlopen(request, timeout=TIMEOUT_S)  # noqa: S310  the same
    return opened


def _patiently(step: Callable[[], T], url: str, pause: Pause) -> T:
    """Again after a pause, each twice as long, while the trouble is one that passes."""
    for number in range(TRIES):
        try:
            return step()
        except HTTPError as error:
            with error:
                if error.code < HTTPStatus.INTERNAL_SERVER_ERROR and error.code != HTTPStatus.TOO_MANY_REQUESTS:
                    raise Refused(f"{url}: the mirror answers {error.code} {error.reason}") from error
                trouble = f"the mirror answers {error.code} {error.reason}"
        except (URLError, HTTPException, ConnectionError, TimeoutError) as error:
            trouble = str(getattr(error, "reason", error)) or type(error).__name__
        if number + 1 < TRIES:
            pause(FIRST_PAUSE_S * 2**number)
    raise Unavailable(f"{url}: {trouble}", retry_in_s=60)
