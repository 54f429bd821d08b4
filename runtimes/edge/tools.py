"""The tools that a client offers to the model, and how freely the model may call them.

Pure. Part of the chat body in `runtimes.edge.wishes`. Calls are read out of answers in `runtimes.edge.calls`; what the
model has to call is bound in `runtimes.edge.grammar`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from runtimes.edge.complaints import BadField

MOST_TOOLS = 128
NAME = r"^[A-Za-z0-9_.-]{1,64}$"
ANY_ARGUMENTS: Mapping[str, Any] = {"type": "object"}


class Function(BaseModel):
    """What can be called. `strict` is met where the choice binds the answer: with `required` or a named function."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(pattern=NAME)
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(BaseModel):
    """One of the tools."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["function"]
    function: Function

    def plain(self) -> dict[str, Any]:
        """The tool as chat templates know it."""
        return {"type": "function", "function": self.function.model_dump(exclude_none=True, exclude={"strict"})}


class FunctionName(BaseModel):
    """Which function."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str


class NamedChoice(BaseModel):
    """This function and no other."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["function"]
    function: FunctionName


ToolChoice = Literal["none", "auto", "required"] | NamedChoice


@dataclass(frozen=True)
class Offer:
    """What an answer may call, and what it must."""

    tools: tuple[Tool, ...]
    bound: tuple[Function, ...] = ()  # one of which has to be called; empty where the model is free
    single: bool = False  # at most one call

    @property
    def names(self) -> frozenset[str]:
        """Functions that may be called."""
        return frozenset(function.name for function in self.bound or [tool.function for tool in self.tools])


def offered(tools: Sequence[Tool] | None, choice: ToolChoice | None, *, parallel: bool) -> Offer | None:
    """What a request offers; None where nothing may be called.

    Raises:
        BadField: two tools have one name, or the choice is of a tool that is not there.
    """
    functions = [tool.function for tool in tools or ()]
    twice = next((name for name, times in Counter(one.name for one in functions).items() if times > 1), None)
    if twice is not None:
        raise BadField(f"tools has two functions named {twice!r}; give each its own name.", param="tools")
    if choice not in (None, "none", "auto") and not functions:
        raise BadField("tool_choice asks for a call, and tools is empty; say what can be called.", param="tool_choice")
    if not tools or choice == "none":
        return None
    if isinstance(choice, NamedChoice):
        named = [one for one in functions if one.name == choice.function.name]
        if not named:
            raise BadField(
                f"tool_choice names {choice.function.name[:80]!r}, which is not among tools.", param="tool_choice"
            )
        return Offer(tuple(tools), tuple(named), single=True)
    return Offer(tuple(tools), tuple(functions) if choice == "required" else (), single=not parallel)
