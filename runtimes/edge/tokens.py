"""Text to tokens and tokens to text, piece by piece.

The one home of `tokenizers` at run time. A `TextStream` never emits half a character, not even where the token limit
cuts one; it never emits a stop string and never splits one across pieces. Called by `runtimes.edge.batching` for every
token, and by `runtimes.edge.server` and `runtimes.edge.chat` for prompts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from tokenizers import Encoding, Tokenizer

from runtimes.errors import Invalid

BROKEN = "\ufffd"  # what decoding gives for bytes that are no character, or not one yet
HELD_TOKENS = 16  # a character has at most four bytes; a longer run without a whole one is noise and is let go
BYTE_NAME = re.compile("<0x([0-9A-F]{2})>")  # tokens of single bytes, where the others are of characters
WORD_START = "\u2581"  # for a space, in such vocabularies


def _letters_of_bytes() -> dict[str, int]:
    """Bytes by the letter that vocabularies of bytes write them with, since GPT-2."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = sorted(set(range(256)) - set(plain))
    return {chr(byte): byte for byte in plain} | {chr(256 + at): byte for at, byte in enumerate(others)}


BYTE_OF_LETTER = _letters_of_bytes()


class TokenPair(list[int]):
    """Tokens of two texts read as one; `second` is the place at which the second begins."""

    second: int


class Vocabulary:
    """The artifact's tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.size = tokenizer.get_vocab_size(with_added_tokens=True)
        added = tokenizer.get_added_tokens_decoder()
        self._controls = {number: token.content for number, token in added.items() if token.special}
        self._added = frozenset(added)
        self._of_bytes = "ByteLevel(" in repr(tokenizer.decoder)  # its state alone would be the whole vocabulary
        self._unknown = tokenizer.token_to_id(getattr(tokenizer.model, "unk_token", None) or "")

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """Read `tokenizer.json`.

        Raises:
            Invalid: the file is no tokenizer.
        """
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as exc:  # the library raises bare Exception for every fault of the file
            raise Invalid(f"{path} is not a tokenizer: {str(exc)[:200]}.") from exc
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return cls(tokenizer)

    def to_json(self) -> str:
        """The tokenizer in the library's own format."""
        text: str = self._tokenizer.to_str()
        return text

    def encode(self, text: str, *, special: bool) -> list[int]:
        """Tokens of a text; `special` lets the tokenizer add its own marks, as a plain completion wants.

        Raises:
            Invalid: the text is not valid Unicode.
        """
        ids: list[int] = _encoding(self._tokenizer, text, special=special).ids
        return ids

    def encode_pair(self, first: str, second: str) -> TokenPair:
        """Tokens of two texts, with the marks that the tokenizer puts between and around them.

        Raises:
            Invalid: a text is not valid Unicode.
        """
        encoding = _encoding(self._tokenizer, first, second, special=True)
        pair = TokenPair(encoding.ids)
        types: list[int] = encoding.type_ids
        pair.second = types.index(1) if 1 in types else len(types)
        return pair

    def encode_as_text(self, text: str) -> list[int]:
        """Tokens of a text in which control tokens are nothing but letters.

        Raises:
            Invalid: the tokenizer knows part of the text as a control token only.
        """
        ids: list[int] = _encoding(self._blind, text, special=False).ids
        if not self._controls.keys().isdisjoint(ids):
            raise Invalid(f"A message holds {text[:40]!r}, which this model reads as a control token; leave it out.")
        return ids

    def control_places(self, text: str) -> list[tuple[int, int]]:
        """Where `encode` reads control tokens in a text: the first character of each, and the one after its last.

        Raises:
            Invalid: the text is not valid Unicode.
        """
        encoding = _encoding(self._tokenizer, text, special=False)
        places: list[tuple[int, int]] = []
        for token, (first, end) in zip(encoding.ids, encoding.offsets, strict=True):
            # A tokenizer's mark for unknown characters counts only where it is spelled out.
            if token in self._controls and (token != self._unknown or text[first:end].strip() == self._controls[token]):
                places.append((first, end))
        return places

    @cached_property
    def _blind(self) -> Tokenizer:
        """The same tokenizer, blind to control tokens; made when first needed, for it is as large again."""
        tokenizer = Tokenizer.from_str(self.to_json())
        tokenizer.encode_special_tokens = True
        return tokenizer

    def spelled(self, token: int) -> bytes:
        """Bytes that a token stands for; half a character where the token is one. Marks are spelled out."""
        name: str = self._tokenizer.id_to_token(token) or ""
        if token in self._added:
            return name.encode()
        if self._of_bytes:
            return bytes(BYTE_OF_LETTER[letter] for letter in name if letter in BYTE_OF_LETTER)
        byte = BYTE_NAME.fullmatch(name)
        return bytes([int(byte[1], 16)]) if byte else name.replace(WORD_START, " ").encode()

    def decode(self, ids: Sequence[int]) -> str:
        """Text of tokens; marks such as end-of-text give nothing."""
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return text


def _encoding(tokenizer: Tokenizer, text: str, second: str | None = None, *, special: bool) -> Encoding:
    try:
        return tokenizer.encode(text, second, add_special_tokens=special)
    except (TypeError, UnicodeError) as exc:
        raise Invalid("The prompt is not valid Unicode text: it holds a lone surrogate.") from exc


class TextStream:
    """Text of one answer, as its tokens come."""

    def __init__(self, vocabulary: Vocabulary, stops: Sequence[str] = ()) -> None:
        self._vocabulary = vocabulary
        self._stops = tuple(stops)
        self._window: list[int] = []  # tokens decoded together: those before `_read` give context only
        self._read = 0
        self._sent = 0  # characters already given out of the window's new part
        self._held = ""
        self.stopped = False

    def push(self, token: int) -> str:
        """Text that is certain after this token; empty while a character or a stop string may still be forming."""
        self._window.append(token)
        return self._emit(self._decoded(at_end=False))

    def close(self) -> str:
        """What was held back, now that no token will follow."""
        if self.stopped:
            return ""
        text = self._emit(self._decoded(at_end=True))
        rest, self._held = ("", "") if self.stopped else (self._held, "")
        return text + rest

    def _decoded(self, *, at_end: bool) -> str:
        """New whole characters; the window then keeps only the tokens that the next ones need for context."""
        pending = len(self._window) - self._read
        if pending == 0:
            return ""
        before = self._vocabulary.decode(self._window[: self._read]) if self._read else ""
        after = self._vocabulary.decode(self._window)
        fresh = after[len(before) + self._sent :]
        if at_end:
            return fresh.rstrip(BROKEN)  # half a character, where the token limit cut it
        if after.endswith(BROKEN) and pending < HELD_TOKENS:
            certain = fresh.rstrip(BROKEN)  # some tokenizers show every byte of a character that is still forming
            self._sent += len(certain)
            return certain
        self._window = self._window[self._read :]
        self._read = len(self._window)
        self._sent = 0
        return fresh

    def _emit(self, fresh: str) -> str:
        if self.stopped:
            return ""
        if not self._stops:
            return fresh
        text = self._held + fresh
        found = [at for at in (text.find(stop) for stop in self._stops) if at >= 0]
        if found:
            self.stopped = True
            self._held = ""
            return text[: min(found)]
        keep = possible_start(text, self._stops)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def possible_start(text: str, stops: Sequence[str]) -> int:
    """Length of the longest end of the text that a stop string may begin with."""
    longest = min(len(text), max(len(stop) for stop in stops) - 1)
    for length in range(longest, 0, -1):
        if any(stop.startswith(text[-length:]) for stop in stops):
            return length
    return 0
