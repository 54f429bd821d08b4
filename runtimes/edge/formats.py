"""What a client may ask an answer to look like: the `response_format` of a body.

Pure. Read by `runtimes.edge.wishes`; turned into a grammar by `runtimes.edge.grammar`. Which JSON Schemas can be
followed is decided there.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SPELLED = (
    'must be {"type": "text"}, {"type": "json_object"} or '
    '{"type": "json_schema", "json_schema": {"name": "...", "schema": {...}}}'
)


class TextFormat(BaseModel):
    """Whatever the model writes."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["text"]

    def schema_to_follow(self) -> dict[str, Any] | None:
        """None: nothing binds the answer."""
        return None


class ObjectFormat(BaseModel):
    """Any JSON object."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["json_object"]

    def schema_to_follow(self) -> dict[str, Any] | None:
        """The schema of every object."""
        return {"type": "object"}


class NamedSchema(BaseModel):
    """A JSON Schema under a name; followed to the letter whether `strict` is set or not."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    description: str | None = None
    rules: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class SchemaFormat(BaseModel):
    """JSON that a schema accepts."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["json_schema"]
    json_schema: NamedSchema

    def schema_to_follow(self) -> dict[str, Any] | None:
        """The client's schema."""
        return self.json_schema.rules


ResponseFormat = Annotated[TextFormat | ObjectFormat | SchemaFormat, Field(discriminator="type")]
