"""The turns of a conversation as clients write them, calls of tools and their results included.

Pure. Part of the chat body in `runtimes.edge.wishes`; written into the prompt by `runtimes.edge.chat`.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

LONGEST_NAME = 256  # characters
MOST_CALLS = 128


class Part(BaseModel):
    """A piece of a message's content."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["text"]
    text: str


Content = str | list[Part]
Nothing = Annotated[list[Any], Field(max_length=0)] | None


class _Turn(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str | None = Field(default=None, max_length=LONGEST_NAME)


class SystemTurn(_Turn):
    """What the model is told to be."""

    role: Literal["system", "developer"]
    content: Content

    def plain(self) -> dict[str, Any]:
        """The turn as chat templates know it; none of them knows a developer."""
        return {"role": "system", "content": _joined(self.content)}


class UserTurn(_Turn):
    """What somebody says."""

    role: Literal["user"]
    content: Content

    def plain(self) -> dict[str, Any]:
        """The turn as chat templates know it."""
        return {"role": "user", "content": _joined(self.content)}


class CalledFunction(BaseModel):
    """What was called with what."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(max_length=LONGEST_NAME)
    arguments: str


class PastCall(BaseModel):
    """A call that the model made."""

    model_config = ConfigDict(extra="ignore", strict=True)  # streamed ones carry their index

    id: str = Field(max_length=LONGEST_NAME)
    type: Literal["function"] = "function"
    function: CalledFunction

    def plain(self) -> dict[str, Any]:
        """The call as chat templates know it: its arguments as an object, where they are one."""
        arguments: Any = self.function.arguments
        try:
            read = json.loads(arguments)
        except (ValueError, RecursionError):
            read = None
        function = {"name": self.function.name, "arguments": read if isinstance(read, dict) else arguments}
        return {"id": self.id, "type": "function", "function": function}


class AssistantTurn(_Turn):
    """What the model said, or whom it called."""

    role: Literal["assistant"]
    content: Content | None = None
    tool_calls: Annotated[list[PastCall], Field(max_length=MOST_CALLS)] | None = None
    # What answers carry besides text, here or from another engine; clients send their history back as they got it.
    refusal: None = None
    annotations: Nothing = None
    audio: None = None
    function_call: None = None
    reasoning: None = None
    reasoning_content: None = None

    def plain(self) -> dict[str, Any]:
        """The turn as chat templates know it."""
        turn: dict[str, Any] = {"role": "assistant", "content": _joined(self.content or "")}
        if self.tool_calls:
            turn["tool_calls"] = [call.plain() for call in self.tool_calls]
        return turn


class ToolTurn(_Turn):
    """What a tool gave back."""

    role: Literal["tool"]
    content: Content
    tool_call_id: str = Field(max_length=LONGEST_NAME)

    def plain(self) -> dict[str, Any]:
        """The turn as chat templates know it."""
        named = {} if self.name is None else {"name": self.name}
        return {"role": "tool", "content": _joined(self.content), "tool_call_id": self.tool_call_id, **named}


ChatMessage = Annotated[SystemTurn | UserTurn | AssistantTurn | ToolTurn, Field(discriminator="role")]


def _joined(content: Content) -> str:
    return content if isinstance(content, str) else "".join(part.text for part in content)
