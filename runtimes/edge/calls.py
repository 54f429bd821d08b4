"""Calls of tools in what a model writes: `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`.

This is the form of the Hermes and Qwen families. What is not a call of an offered function stays text, letter by
letter. Pure. Called by `runtimes.edge.replies`.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import Any

from runtimes.edge.tokens import possible_start

OPEN, CLOSE = "<tool_call>", "</tool_call>"


@dataclass(frozen=True)
class Call:
    """One call; `arguments` is a JSON object."""

    name: str
    arguments: str
    id: str = field(default_factory=lambda: "call_" + uuid.uuid4().hex[:24])

    def body(self) -> dict[str, Any]:
        """As OpenAI writes it."""
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": self.arguments}}


class CallReader:
    """Parts the text of one answer, as it comes, into text and calls."""

    def __init__(self, names: frozenset[str], *, single: bool) -> None:
        """Get ready.

        Args:
            names: functions that may be called.
            single: whether everything after the first call is dropped.
        """
        self._names = names
        self._single = single
        self._unread = ""
        self._searched = 0  # up to where an unread call was searched for its end
        self._called = False

    def push(self, text: str) -> tuple[str, list[Call]]:
        """Text that is surely text, and calls that are complete."""
        self._unread += text
        said, calls = "", []
        while not (self._called and self._single):
            if not self._unread.startswith(OPEN):
                said += self._before_a_call()
                if not self._unread.startswith(OPEN):
                    break
            call = self._first_call()
            if call is None:
                break
            calls.append(call)
            self._called = True
        return said, calls

    def close(self) -> tuple[str, list[Call]]:
        """What is left when nothing follows; a call may lack its end mark."""
        if self._called and self._single:
            return "", []
        rest, self._unread = self._unread, ""
        call = self._read(rest.removeprefix(OPEN)) if rest.startswith(OPEN) else None
        if call is not None:
            return "", [call]
        return ("" if self._called and not rest.strip() else rest), []

    def _before_a_call(self) -> str:
        """Take the text before a call; spaces right before one, and between two, belong to nobody."""
        at = self._unread.find(OPEN)
        if at >= 0:
            text, self._unread = self._unread[:at].rstrip(), self._unread[at:]
            return text
        sure = len(self._unread) - possible_start(self._unread, (OPEN,))
        sure = len(self._unread[:sure].rstrip())
        text, self._unread = self._unread[:sure], self._unread[sure:]
        return text

    def _first_call(self) -> Call | None:
        """Take the call that the unread text begins with; its arguments may themselves hold what looks like its end."""
        while (at := self._unread.find(CLOSE, max(len(OPEN), self._searched - len(CLOSE)))) >= 0:
            call = self._read(self._unread[len(OPEN) : at])
            self._searched = at + len(CLOSE) + len(CLOSE)
            if call is not None:
                self._unread = self._unread[at + len(CLOSE) :]
                self._searched = 0
                return call
        self._searched = len(self._unread)
        return None

    def _read(self, text: str) -> Call | None:
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            return None
        if not isinstance(said, dict) or said.get("name") not in self._names:
            return None
        arguments = said.get("arguments", {})
        if not isinstance(arguments, dict):
            return None
        return Call(said["name"], json.dumps(arguments, ensure_ascii=False))
