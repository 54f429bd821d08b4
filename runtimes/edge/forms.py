"""A request body of `multipart/form-data`: one file and some short fields, within their limits.

What the fields may say is checked by who calls this: `runtimes.edge.transcriptions`.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from runtimes.edge.complaints import BadField

MOST_PARTS = 64
FIELD_LIMIT_BYTES = 1 << 16
LIST_MARK = "[]"  # how clients name a field that may come several times


@dataclass(frozen=True)
class Form:
    """What came."""

    file: bytes
    fields: dict[str, str | list[str]]


async def read_form(request: web.Request, *, limit_bytes: int) -> Form:
    """Read the body.

    Args:
        request: a POST.
        limit_bytes: the largest body taken.

    Raises:
        BadField: it is no form, or has a field twice, too long or without a name.
        web.HTTPRequestEntityTooLarge: it is larger than the limit.
    """
    if request.content_type != "multipart/form-data":
        raise BadField("The body must be multipart/form-data, with the sound as its file.", param=None)
    if (request.content_length or 0) > limit_bytes:
        raise web.HTTPRequestEntityTooLarge(limit_bytes, request.content_length or 0)
    try:
        return await _read(MultipartReader(request.headers, request.content), limit_bytes)
    except (ValueError, AssertionError, UnicodeError, LookupError, HttpProcessingError) as exc:
        raise BadField("The body is not well-formed multipart/form-data.", param=None) from exc


async def _read(reader: MultipartReader, limit_bytes: int) -> Form:
    file: bytes | None = None
    fields: dict[str, str | list[str]] = {}
    left_bytes = limit_bytes
    for _ in range(MOST_PARTS):
        part = await reader.next()
        if part is None:
            break
        if not isinstance(part, BodyPartReader) or not part.name:
            raise BadField("Each part of the body must be a named field.", param=None)
        name = part.name.removesuffix(LIST_MARK)[:80]
        content = await _content(part, limit_bytes, left_bytes if name == "file" else FIELD_LIMIT_BYTES, name)
        left_bytes -= len(content)
        if part.name.endswith(LIST_MARK):
            fields[name] = [*fields.get(name, []), content.decode()]
        elif name in fields or (name == "file" and file is not None):
            raise BadField(f"{name} is given twice.", param=name)
        elif name == "file":
            file = content
        else:
            fields[name] = content.decode()
    else:
        raise BadField(f"The body has more than {MOST_PARTS} parts.", param=None)
    if file is None:
        raise BadField("file is required.", param="file")
    return Form(file, fields)


async def _content(part: BodyPartReader, limit_bytes: int, most_bytes: int, name: str) -> bytes:
    if part.headers.get("Content-Encoding", "identity") != "identity" or "Content-Transfer-Encoding" in part.headers:
        raise BadField(f"{name} is packed; send it as it is.", param=name)
    found = bytearray()
    while chunk := await part.read_chunk(1 << 16):
        found += chunk
        if len(found) > most_bytes:
            if name == "file":
                raise web.HTTPRequestEntityTooLarge(limit_bytes, len(found))
            raise BadField(f"{name} is longer than {most_bytes} bytes.", param=name)
    return bytes(found)
