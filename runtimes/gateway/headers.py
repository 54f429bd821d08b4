"""Which headers cross the gateway, and the request id.

Pure but for fresh request ids. Hop-by-hop headers belong to one connection; credentials belong to the gateway. Headers
with bytes beyond ASCII are dropped: they cannot be passed on unchanged.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

from multidict import CIMultiDict

REQUEST_ID = "x-request-id"
REPLICA = "x-headwater-replica"

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    },
)
_FROM_CLIENT = _HOP_BY_HOP | {
    # The gateway's own business: who the client is, how the body was packed, what packing of the answer it can read.
    "accept-encoding",
    "api-key",
    "authorization",
    "content-encoding",
    "content-length",
    "cookie",
    "expect",
    "host",
    "x-api-key",
    REPLICA,
    REQUEST_ID,
}
_FROM_UPSTREAM = _HOP_BY_HOP | {"content-length", "date", "server", "set-cookie", REPLICA, REQUEST_ID}
_WELL_FORMED_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", re.ASCII)


def request_id(headers: Mapping[str, str]) -> str:
    """The client's request id, or a fresh one where it is absent or malformed."""
    given = headers.get(REQUEST_ID)
    return given if given is not None and _WELL_FORMED_ID.fullmatch(given) else secrets.token_hex(16)


def to_upstream(headers: Mapping[str, str], request: str) -> CIMultiDict[str]:
    """What a replica gets of the client's headers, under request id `request`."""
    kept = _kept(headers, _FROM_CLIENT)
    kept[REQUEST_ID] = request
    kept.setdefault("content-type", "application/json")
    return kept


def to_client(headers: Mapping[str, str], request: str, replica: str) -> CIMultiDict[str]:
    """What the client gets of a replica's headers, with the request id and the replica's name."""
    kept = _kept(headers, _FROM_UPSTREAM)
    kept[REQUEST_ID] = request
    kept[REPLICA] = replica
    return kept


def _kept(headers: Mapping[str, str], dropped: frozenset[str]) -> CIMultiDict[str]:
    if "connection" in headers:
        dropped |= {name.strip().lower() for name in headers["connection"].split(",")}
    kept: CIMultiDict[str] = CIMultiDict()
    for name, value in headers.items():
        if name.lower() not in dropped and value.isascii():
            kept.add(name, value)
    return kept
