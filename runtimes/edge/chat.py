"""Chat messages to a prompt, by the model's own template; control tokens come from the template alone.

The template runs in `runtimes.edge.sandbox`; tokens come from `runtimes.edge.tokens`. Called by
`runtimes.edge.generating`.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from runtimes.edge.calls import OPEN
from runtimes.edge.sandbox import LARGEST_TEXT, BoundedTemplate
from runtimes.edge.tokens import Vocabulary
from runtimes.errors import Invalid

LONGEST_DATE_FORMAT = 40
PRIVATE_USE = 0xF0000  # first of the code points without meaning, so that no template trims them or changes their case


class ChatTemplate:
    """The template that came with the weights."""

    def __init__(self, source: str, *, bos_token: str, eos_token: str) -> None:
        """Compile it.

        Raises:
            Invalid: it is not a template.
        """
        self._source = source
        self._template = BoundedTemplate(source)
        self._marks = {"bos_token": bos_token, "eos_token": eos_token}

    @property
    def calls_tools(self) -> bool:
        """Whether it tells the model about tools, and to call them as `runtimes.edge.calls` reads it."""
        return OPEN in self._source and "tools" in self._source

    def prompt(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> str:
        """Text that asks the model for the next assistant turn.

        Args:
            messages: turns with `role` and `content`, and calls of tools where there are any.
            tools: functions that may be called, in OpenAI's form.

        Raises:
            Invalid: the template refuses them, fails, or takes too long or too much.
        """
        size = text_size([*messages, *tools])
        if size > LARGEST_TEXT:
            raise Invalid(f"The messages have {size} characters; at most {LARGEST_TEXT} are read.")
        return self._template.render(
            {
                "messages": [dict(message) for message in messages],
                "add_generation_prompt": True,
                "tools": [dict(tool) for tool in tools] or None,
                "strftime_now": _today,
                **self._marks,
            }
        )


def text_size(value: Any) -> int:
    """Characters of all texts in a JSON value."""
    if isinstance(value, Mapping):
        return sum(len(key) + text_size(inner) for key, inner in value.items())
    if isinstance(value, list):
        return sum(map(text_size, value))
    return len(value) if isinstance(value, str) else 1


def prompt_tokens(
    template: ChatTemplate,
    vocabulary: Vocabulary,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] = (),
) -> list[int]:
    """Tokens that ask the model for the next assistant turn.

    What a message or a tool spells like a control token stays text, so nobody can forge a turn. While the template
    runs, an unguessable placeholder stands for it; a prompt without such text is encoded in one piece.

    Raises:
        Invalid: as `ChatTemplate.prompt` and `Vocabulary.encode_as_text` say.
    """
    key = "".join(chr(PRIVATE_USE + byte) for byte in secrets.token_bytes(16))
    hidden: list[str] = []

    def hide(content: str) -> str:
        shown, at = "", 0
        for first, end in vocabulary.control_places(content):
            shown += f"{content[at:first]}{key}{len(hidden)};"
            hidden.append(content[first:end])
            at = end
        return shown + content[at:]

    text = template.prompt(_with_texts(list(messages), hide), _with_texts(list(tools), hide))
    texts = re.split(f"{key}([0-9]+);", text)
    tokens = vocabulary.encode(texts[0], special=False)
    for number, following in zip(texts[1::2], texts[2::2], strict=True):
        tokens += vocabulary.encode_as_text(hidden[int(number)])
        tokens += vocabulary.encode(following, special=False)
    return tokens


def _with_texts(value: Any, change: Callable[[str], str]) -> Any:
    """A JSON value with every text in it changed, names of fields included."""
    if isinstance(value, Mapping):
        return {change(key): _with_texts(inner, change) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_texts(inner, change) for inner in value]
    return change(value) if isinstance(value, str) else value


def _today(layout: str) -> str:
    """The local date as a template wants it written."""
    return time.strftime(str(layout)[:LONGEST_DATE_FORMAT])
