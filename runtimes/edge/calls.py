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
JSON = json.JSONDecoder()


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
        self._ends = 0  # end marks seen when an unread call was last tried
        self._called = False

    def push(self, text: str) -> tuple[str, list[Call]]:
        """Text that is surely text, and calls that are complete."""
        self._unread += text
        return self._parted(at_end=False)

    def close(self) -> tuple[str, list[Call]]:
        """What is left when nothing follows; a call may lack its end mark."""
        return self._parted(at_end=True)

    def _parted(self, *, at_end: bool) -> tuple[str, list[Call]]:
        said, calls = "", list[Call]()
        while not (self._called and self._single):
            said += self._words(at_end=at_end)
            gap = len(self._unread) - len(self._unread.lstrip())  # belongs to nobody, if a call follows
            if not self._unread.startswith(OPEN, gap):
                break
            call, end = self._first(gap + len(OPEN), at_end=at_end)
            if not end:
                break
            if call is None:
                said += self._unread[:end]
            else:
                calls.append(call)
                self._called = True
            self._unread, self._ends = self._unread[end:], 0
        return said, calls

    def _words(self, *, at_end: bool) -> str:
        """Take the text before a call, but for the spaces right before it."""
        at = self._unread.find(OPEN)
        if at < 0:
            at = len(self._unread) - (0 if at_end else possible_start(self._unread, (OPEN,)))
            ending = at_end and not (self._called and not self._unread.strip())
        else:
            ending = False
        end = at if ending else len(self._unread[:at].rstrip())
        words, self._unread = self._unread[:end], self._unread[end:]
        return words

    def _first(self, begin: int, *, at_end: bool) -> tuple[Call | None, int]:
        """The call whose JSON begins here, and the place after it; 0 while more has to come, no call where it is text.

        Arguments may themselves hold what looks like the end of a call, so the JSON says where it ends.
        """
        ends = self._unread.count(CLOSE)
        if ends == self._ends and not at_end:
            return None, 0
        self._ends = ends
        try:
            said, end = JSON.raw_decode(self._unread, self._after_space(begin))
        except (ValueError, RecursionError):
            return None, begin if at_end else 0
        end = self._after_space(end)
        if self._unread.startswith(CLOSE, end):
            end += len(CLOSE)
        elif not (at_end and end == len(self._unread)):
            return None, 0 if CLOSE.startswith(self._unread[end:]) else begin
        return self._call(said), end

    def _after_space(self, at: int) -> int:
        return len(self._unread) - len(self._unread[at:].lstrip())

    def _call(self, said: Any) -> Call | None:
        if not isinstance(said, dict) or not isinstance(said.get("name"), str):
            return None
        if said["name"] not in self._names:
            return None
        arguments = said.get("arguments", {})
        if not isinstance(arguments, dict):
            return None
        try:
            return Call(said["name"], json.dumps(arguments, ensure_ascii=False))
        except RecursionError:
            return None
