"""A model's configuration and headers from a hub, by ranges: megabytes where the weights have hundreds of gigabytes.

The endpoint is `$HF_ENDPOINT`, or what the hub's own library uses; the paths are that hub's. Every answer is bounded in
bytes and time. Called by `orchestrator.adapters.imports.look`. Weights are downloaded by `runtimes.build.sources`.
"""

from __future__ import annotations

import http.client
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.adapters.imports.bounded import MOST_CONFIG_BYTES, parse_object, shown
from orchestrator.adapters.imports.licences import MOST_README_BYTES
from orchestrator.adapters.imports.safetensors import (
    INDEX,
    LENGTH_BYTES,
    MOST_HEADER_BYTES,
    MOST_INDEX_BYTES,
    Tensor,
    header_length,
    index_shards,
    read_header,
    together,
)
from orchestrator.errors import HeadwaterError, Invalid, Refused, Unavailable

TIMEOUT_S = 10.0  # of one step of one request
LONGEST_S = 300.0  # of a whole import: two thousand shards at 0.1 s each
FIRST_BYTES = 1 << 18  # most headers of shards fit in the first request
SINGLE = "model.safetensors"
CONFIG, README = "config.json", "README.md"
RETRY_IN_S = 60.0
MISSING, FORBIDDEN = (404, 410), (401, 403)
_NAME = re.compile(r"([A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})(?:@([A-Za-z0-9][\w./-]{0,95}))?")
_RANGE = re.compile(r"bytes \d+-\d+/(\d{1,18})")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was read of a repository."""

    name: str  # organisation/name
    config: Mapping[str, Any]
    tensors: tuple[Tensor, ...] | None  # absent: it has no safetensors
    readme: str


def fetch(written: str) -> Snapshot:
    """Read what a hub has under a name.

    Args:
        written: `organisation/name`, with `@revision` where it is not `main`.

    Raises:
        Invalid: no such name, or files that contradict themselves.
        Refused: the hub wants somebody to accept terms first, or its answer is larger than any real one.
        Unavailable: no hub answers.
    """
    matched = _NAME.fullmatch(written)
    if matched is None or ".." in written:
        raise Invalid("hf://organisation/name or hf://organisation/name@revision was expected")
    hub = _Hub(matched[1], matched[2] or "main")
    raw = hub.whole(CONFIG, MOST_CONFIG_BYTES)
    if raw is None:
        raise Invalid(f"the hub has no {CONFIG} under that name")
    config = parse_object(raw, CONFIG)
    index = hub.whole(INDEX, MOST_INDEX_BYTES)
    if index is not None:
        shards, counted = index_shards(index, INDEX)
        tensors = together((shard, hub.listed(shard)) for shard in shards)
        if counted != len(tensors):
            raise Invalid(f"{INDEX} lists {counted:,} tensors and its shards hold {len(tensors):,}")
    else:
        tensors = hub.header(SINGLE) or ()
    readme = hub.whole(README, MOST_README_BYTES) or b""
    return Snapshot(matched[1], config, tensors or None, readme.decode(errors="replace"))


def endpoint() -> str:
    """The hub's address without a slash at its end, as its own library knows it: `$HF_ENDPOINT` or its default."""
    from huggingface_hub import constants  # noqa: PLC0415  slow to import, and only hub sources need it

    if constants.HF_HUB_OFFLINE:
        raise Unavailable(f"$HF_HUB_OFFLINE is set; {_instead()}", retry_in_s=RETRY_IN_S)
    said = str(constants.ENDPOINT).rstrip("/")
    if not said.startswith(("http://", "https://")):
        raise Invalid(f"$HF_ENDPOINT is {shown(said)}; an address that starts with https:// was expected")
    return said


def _token() -> str | None:
    """The token that the hub's own library would use."""
    from huggingface_hub import get_token  # noqa: PLC0415  as above

    return get_token()


class _Hub:
    """One revision of one repository."""

    def __init__(self, name: str, revision: str) -> None:
        self._root = f"{endpoint()}/{name}/resolve/{urllib.parse.quote(revision, safe='')}"
        self._token = _token()
        self._until_s = time.monotonic() + LONGEST_S

    def whole(self, file: str, most_bytes: int) -> bytes | None:
        """A small file; None where the repository has none of that name."""
        found = self._get(file, 0, most_bytes)
        if found is None:
            return None
        raw, size_bytes = found
        if size_bytes > most_bytes or len(raw) > most_bytes:
            raise Refused(f"the hub's {file} has {size_bytes:,} bytes; at most {most_bytes:,} are read")
        return raw

    def listed(self, shard: str) -> tuple[Tensor, ...]:
        """The tensors of a file that the index names."""
        found = self.header(shard)
        if found is None:
            raise Invalid(f"{INDEX} names {shard}, which the hub does not have")
        return found

    def header(self, file: str) -> tuple[Tensor, ...] | None:
        """The tensors of a safetensors file; None where the repository has none of that name."""
        found = self._get(file, 0, FIRST_BYTES)
        if found is None:
            return None
        raw, size_bytes = found
        length = header_length(raw[:LENGTH_BYTES], size_bytes, file)
        end = LENGTH_BYTES + length
        if end > len(raw):
            more = self._get(file, len(raw), min(end, LENGTH_BYTES + MOST_HEADER_BYTES) - len(raw))
            raw += more[0] if more is not None else b""
        if end > len(raw):
            raise Invalid(f"{file}: the hub gave {len(raw):,} of the {end:,} bytes of its header")
        return read_header(raw[LENGTH_BYTES:end], size_bytes - end, file)

    def _get(self, file: str, begin: int, most_bytes: int) -> tuple[bytes, int] | None:
        """Bytes from a place in a file on, and the size of the whole file."""
        url = f"{self._root}/{urllib.parse.quote(file)}"
        headers = {"Range": f"bytes={begin}-{begin + most_bytes - 1}", "Accept-Encoding": "identity"}
        request = urllib.request.Request(url, headers=headers)  # noqa: S310  the scheme was checked
        if self._token:
            request.add_unredirected_header("Authorization", f"Bearer {self._token}")  # not for the hub's file servers
        if time.monotonic() > self._until_s:
            raise Unavailable(f"the hub took longer than {LONGEST_S:.0f} s; {_instead()}", retry_in_s=RETRY_IN_S)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310  the same
                if begin and answer.status != http.client.PARTIAL_CONTENT:
                    raise Refused("the hub does not give parts of files; download config.json and the headers' files")
                return self._body(answer, most_bytes), _size(answer)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in MISSING:
                return None
            raise _refusal(error) from None
        except (urllib.error.URLError, OSError, http.client.HTTPException, ValueError) as error:
            reason = shown(str(getattr(error, "reason", error)))
            raise Unavailable(f"no hub answers ({reason}); {_instead()}", retry_in_s=RETRY_IN_S) from None

    def _body(self, answer: Any, most_bytes: int) -> bytes:
        """At most so many bytes, read in pieces so that a slow answer ends with the time of the import."""
        pieces: list[bytes] = []
        left = most_bytes
        while left > 0 and (piece := answer.read(min(left, FIRST_BYTES))):
            pieces.append(piece)
            left -= len(piece)
            if time.monotonic() > self._until_s:
                raise Unavailable(f"the hub took longer than {LONGEST_S:.0f} s; {_instead()}", retry_in_s=RETRY_IN_S)
        return b"".join(pieces)


def _size(answer: Any) -> int:
    """Size of the whole file, from either of the headers that say it."""
    ranged = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    said = ranged[1] if ranged else answer.headers.get("Content-Length", "")
    if not re.fullmatch(r"\d{1,18}", said):
        raise Refused("the hub does not say how large the file is")
    return int(said)


def _refusal(error: urllib.error.HTTPError) -> HeadwaterError:
    """Says who acts next when the hub does not give a file."""
    if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
        return Invalid("the hub has an empty file where a configuration or weights were expected")
    if error.code in FORBIDDEN:
        return Refused(
            "the hub does not show this model to you: it is not there, or its terms must be accepted; "
            "set $HF_TOKEN to a token of an account that may read it"
        )
    return Unavailable(f"the hub answers {error.code}; {_instead()}", retry_in_s=RETRY_IN_S)


def _instead() -> str:
    return "set $HF_ENDPOINT to a hub that can be reached, or download config.json and give its path"
