"""The server's own description, `GET /openapi.json`: what can be asked, made from the models that check it.

Pure. Called by `runtimes.edge.server`; a test asks everything that the description allows, and much that it does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from runtimes.edge import reranking, transcriptions
from runtimes.edge.embeddings import EmbeddingWish
from runtimes.edge.reranking import ClassifyWish, RerankWish
from runtimes.edge.transcriptions import SpeechWish
from runtimes.edge.wishes import ChatWish, CompletionWish

Json = dict[str, Any]

BODIES: Mapping[str, type[BaseModel]] = {
    "/v1/chat/completions": ChatWish,
    "/v1/completions": CompletionWish,
    "/v1/embeddings": EmbeddingWish,
    **dict.fromkeys(reranking.RERANK_PATHS, RerankWish),
    reranking.CLASSIFY_PATH: ClassifyWish,
}
PAGES: Mapping[str, str] = {
    "/v1/models": "The model that is served.",
    "/healthz": "Whether the process is alive.",
    "/readyz": "Whether requests are taken.",
    "/metrics": "Counters, in Prometheus' text format.",
    "/openapi.json": "This description.",
}
ERROR: Json = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}


def document(names: Sequence[str]) -> Json:
    """The description, in OpenAPI 3.1.

    Args:
        names: what the served model is called; empty while none is.
    """
    kinds: list[type[BaseModel]] = [*dict.fromkeys(BODIES.values()), SpeechWish]
    _, schemas = models_json_schema(
        [(kind, "validation") for kind in kinds], ref_template="#/components/schemas/{model}"
    )
    parts: dict[str, Json] = {**schemas["$defs"], "Error": ERROR}
    for kind in kinds:
        parts[kind.__name__]["properties"]["model"] = {"type": "string", **({"enum": list(names)} if names else {})}
    speech = parts[SpeechWish.__name__]
    speech["properties"]["file"] = {"type": "string", "format": "binary"}
    speech["required"] = [*speech["required"], "file"]
    paths: Json = {path: {"post": _post(kind, "application/json")} for path, kind in BODIES.items()}
    paths |= {path: {"post": _post(SpeechWish, "multipart/form-data")} for path in transcriptions.PATHS}
    paths |= {path: {"get": _answered(summary)} for path, summary in PAGES.items()}
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    paths["/v1/models/{name}"] = {"get": {"parameters": [name], **_answered("One model, by its name.")}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Headwater edge engine", "version": "1"},
        "paths": paths,
        "components": {"schemas": parts},
    }


def _post(kind: type[BaseModel], content: str) -> Json:
    schema = {"$ref": f"#/components/schemas/{kind.__name__}"}
    summary = (kind.__doc__ or "").partition("\n")[0]
    return {"requestBody": {"required": True, "content": {content: {"schema": schema}}}, **_answered(summary)}


def _answered(summary: str) -> Json:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {
        "summary": summary,
        "responses": {"200": {"description": "The answer."}, "default": {"description": "An error.", "content": error}},
    }
