"""What the gateway itself answers, in the OpenAI shape: models, and errors `{"error": {message, type, param, code}}`.

Each error says what is wrong and who acts next. Called by everything in the gateway that answers a client.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from aiohttp import web

_FIRST_SERVER_ERROR = 500
_NAMES_LISTED = 50


def model(service: str) -> dict[str, str | int]:
    """A service as OpenAI lists a model; clients require `created`, and the table does not say when it was made."""
    return {"id": service, "object": "model", "created": 0, "owned_by": "headwater"}


def error_json(status: int, code: str, message: str, *, param: str | None = None) -> str:
    """The error as JSON text; the type follows from the HTTP status."""
    kind = "server_error" if status >= _FIRST_SERVER_ERROR else "invalid_request_error"
    return json.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})


def error(
    status: int,
    code: str,
    message: str,
    *,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """An error answer."""
    text = error_json(status, code, message, param=param)
    return web.Response(status=status, text=text, content_type="application/json", headers=headers)


def error_event(code: str, message: str, *, after: bytes) -> bytes:
    """The error as the last server-sent event of a broken stream, which ended with the bytes `after`."""
    ended = after.endswith((b"\n\n", b"\r\n\r\n")) or not after
    return (b"" if ended else b"\n\n") + f"data: {error_json(502, code, message)}\n\n".encode()


def unknown_model(model: str, services: list[str]) -> web.Response:
    """404 that lists what can be asked for."""
    listed = ", ".join(services[:_NAMES_LISTED]) or "none yet"
    more = f" and {len(services) - _NAMES_LISTED} more" if len(services) > _NAMES_LISTED else ""
    message = f"model {model[:100]!r} is not served here; set model to one of: {listed}{more}"
    return error(404, "model_not_found", message, param="model")


def no_replica(service: str, retry_in_s: float) -> web.Response:
    """503 for a service that is routed and has no replica that answers."""
    seconds = max(1, math.ceil(retry_in_s))
    message = (
        f"no replica of {service!r} is ready: send the request again in {seconds} s; "
        "if this lasts, the operator of the service has to look at its replicas"
    )
    return error(503, "no_ready_replica", message, headers={"Retry-After": str(seconds)})
