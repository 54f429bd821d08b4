"""Chat messages to a prompt, by the model's own template; control tokens come from the template alone.

The template runs in `runtimes.edge.sandbox`; tokens come from `runtimes.edge.tokens`. Called by `runtimes.edge.server`.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping, Sequence

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
        self._template = BoundedTemplate(source)
        self._marks = {"bos_token": bos_token, "eos_token": eos_token}

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Text that asks the model for the next assistant turn.

        Args:
            messages: turns with `role` and `content`.

        Raises:
            Invalid: the template refuses them, fails, or takes too long or too much.
        """
        size = sum(len(message["content"]) for message in messages)
        if size > LARGEST_TEXT:
            raise Invalid(f"The messages have {size} characters; at most {LARGEST_TEXT} are read.")
        return self._template.render(
            {
                "messages": [dict(message) for message in messages],
                "add_generation_prompt": True,
                "tools": None,
                "strftime_now": _today,
                **self._marks,
            }
        )


def prompt_tokens(template: ChatTemplate, vocabulary: Vocabulary, messages: Sequence[Mapping[str, str]]) -> list[int]:
    """Tokens that ask the model for the next assistant turn.

    What a message spells like a control token stays text, so nobody can forge a turn. While the template runs, an
    unguessable placeholder stands for it; a prompt without such text is encoded in one piece.

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

    text = template.prompt([{**message, "content": hide(message["content"])} for message in messages])
    texts = re.split(f"{key}([0-9]+);", text)
    tokens = vocabulary.encode(texts[0], special=False)
    for number, following in zip(texts[1::2], texts[2::2], strict=True):
        tokens += vocabulary.encode_as_text(hidden[int(number)])
        tokens += vocabulary.encode(following, special=False)
    return tokens


def _today(layout: str) -> str:
    """The local date as a template wants it written."""
    return time.strftime(str(layout)[:LONGEST_DATE_FORMAT])
