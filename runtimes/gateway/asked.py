"""What a client asked for: the body within its limit, and the service it names.

Called by `runtimes.gateway.proxy`. The rest of the body is the replica's to judge.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pydantic_core
from aiohttp import web

from runtimes.gateway import answers


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that can be routed."""

    service: str
    body: bytes


async def read(request: web.Request, *, limit_bytes: int, idle_s: float) -> Asked | web.Response:
    """The request's body and service, or the answer that says what is wrong with it.

    Args:
        request: a POST; its application's `client_max_size` is `limit_bytes`.
        limit_bytes: the largest body taken.
        idle_s: time in which the body has to arrive.
    """
    too_large = f"the body is larger than {limit_bytes} bytes; send a shorter request"
    if (request.content_length or 0) > limit_bytes:
        return answers.error(413, "body_too_large", too_large)
    try:
        if request.content.is_eof():  # the usual case, and a timer costs
            body = await request.read()
        else:
            async with asyncio.timeout(idle_s):
                body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        return answers.error(413, "body_too_large", too_large)
    except TimeoutError:
        return answers.error(408, "body_too_slow", f"the body did not arrive within {idle_s:g} s; send it again")
    except (web.PayloadAccessError, web.RequestPayloadError, ValueError):
        return answers.error(400, "invalid_body", "the body cannot be unpacked; send it as its headers say")
    return _named(body)


def _named(body: bytes) -> Asked | web.Response:
    try:
        content = pydantic_core.from_json(body)
    except ValueError as error:
        return answers.error(400, "invalid_json", f"the body is not JSON ({error}); send a JSON object")
    if not isinstance(content, dict):
        return answers.error(400, "invalid_json", "the body is JSON but not an object; send a JSON object")
    model = content.get("model")
    if not isinstance(model, str) or not model:
        message = "model is missing or no text; set it to the name of a service, see GET /v1/models"
        return answers.error(400, "missing_model", message, param="model")
    return Asked(model, body)
