"""Reading a configuration that nobody has checked: every number in bounds, every error one sentence with the key.

Pure. A `Fields` is one mapping with the path that leads to it. Keys that hold null count as absent. What was assumed
for an absent key is noted, so that whoever imports a model sees it. Called by the readers of families beside it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.api.architecture import MOST_LAYERS
from runtimes.errors import Invalid, Refused

LARGEST = 2**24
LARGEST_FACTOR = 1000
LONGEST_TEXT = 60
INHERITED = "tie_word_embeddings"
KV_HEADS = "num_key_value_heads"
LONGEST_NUMBER_BITS = 54
MOST_PARTS = 64
IDLE: tuple[Any, ...] = (None, False, 0, [], {}, "")


class Fields:
    """One mapping of a configuration and where it stands in it."""

    def __init__(
        self, values: Mapping[str, Any], *, where: str = "", of: Fields | None = None, outer: Fields | None = None
    ) -> None:
        self._values = values
        self._where = where
        self._outer = outer
        self.notes: list[str] = [] if of is None else of.notes
        self.asked: set[str] = set() if of is None else of.asked

    def path(self, key: str) -> str:
        """The key as it is named in sentences, such as `text_config.hidden_size`."""
        return f"{self._where}.{key}" if self._where else key

    def raw(self, key: str) -> Any:
        """The value as it stands; None where the key is absent."""
        self.asked.add(key)
        return self._values.get(key)

    def has(self, key: str) -> bool:
        """Whether the key is there and not null."""
        return self.raw(key) is not None

    def given(self, key: str) -> bool:
        """Whether the key is there, be it null."""
        self.asked.add(key)
        return key in self._values

    def wrapper_says(self, key: str) -> bool:
        """Whether the wrapper around this part has the key, and not null."""
        return self._outer is not None and self._outer.has(key)

    def without(self, *keys: str) -> Fields:
        """The same mapping as if these keys were absent."""
        kept = {key: value for key, value in self._values.items() if key not in keys}
        return Fields(kept, where=self._where, of=self, outer=self._outer)

    def assuming(self, assumed: Mapping[str, Any]) -> Fields:
        """The same mapping with what the family's class assumes where a key is absent; numbers are noted.

        Only for what all models of the family share, or what the class derives; null of key-value heads is as many as
        heads.
        """
        for key, value in assumed.items():
            if self.given(key):
                continue
            if value is None and key == KV_HEADS:
                self.notes.append(
                    f"{self.path(key)} is absent; taken as num_attention_heads, as the family's class does"
                )
            elif isinstance(value, int):
                self.notes.append(f"{self.path(key)} is absent; assumed {value}, as the family's own class does")
        return self.assuming_quietly(assumed)

    def left_out(self, assumed: Mapping[str, Any]) -> Fields:
        """The same mapping with what its class assumes, where it is the part of a wrapper; these are noted.

        Wrappers are saved without the numbers of their parts that equal the class's. Whole configurations are saved
        with them; where one lacks a number that differs between sizes, nobody can know it.
        """
        return self if self._outer is None else self.assuming(assumed)

    def assuming_quietly(self, lent: Mapping[str, Any]) -> Fields:
        """The same mapping with values lent from elsewhere where a key is absent."""
        absent = {key: value for key, value in lent.items() if not self.given(key)}
        return Fields({**self._values, **absent}, where=self._where, of=self, outer=self._outer)

    def names(self) -> list[str]:
        """The keys of this mapping that are texts."""
        return [key for key in self._values if isinstance(key, str)]

    def parts(self) -> list[Fields]:
        """The first mappings in this one."""
        named = [key for key, value in self._values.items() if isinstance(value, Mapping)][:MOST_PARTS]
        return [found for found in (self.part(key) for key in named) if found is not None]

    def unasked(self, *keys: str) -> str | None:
        """The first of these keys that says something and that no reader has asked for, as a path."""
        said = (key for key in keys if key not in self.asked and self._values.get(key) not in IDLE)
        return next((self.path(key) for key in said), None)

    def whole(self, *keys: str, default: int | None = None, least: int = 1, most: int = LARGEST) -> int:
        """A whole number under the first of these names that is there.

        Args:
            keys: names of the same thing, in order of precedence.
            default: what the family's own class assumes; None where there must be a value.
            least: smallest value that makes sense.
            most: largest.

        Raises:
            Invalid: absent without a default, not a whole number, or out of bounds.
        """
        found = self.maybe(*keys, least=least, most=most)
        if found is not None:
            return found
        if default is None:
            names = " or ".join(self.path(key) for key in keys)
            raise Invalid(f"the configuration has no {names}; give a whole number from {least} to {most}")
        self.notes.append(f"{self.path(keys[0])} is absent; assumed {default}, as the family's own class does")
        return default

    def maybe(self, *keys: str, least: int = 1, most: int = LARGEST) -> int | None:
        """A whole number as in `whole`, or None where every name is absent."""
        self.asked.update(keys)
        for key in keys:
            value = self.raw(key)
            if value is not None:
                return _whole(value, self.path(key), least, most)
        return None

    def flag(self, key: str, *, default: bool) -> bool:
        """A truth value. Whether the head is tied a wrapper may say for its decoder.

        Raises:
            Invalid: neither true nor false.
            Refused: wrapper and decoder disagree; implementations differ in which of them they follow.
        """
        value = self.raw(key)
        if self._outer is not None and key == INHERITED and self._outer.has(key):
            outer = self._outer.flag(key, default=default)
            if value is None:
                return outer
            if isinstance(value, bool) and value is not outer:
                raise Refused(
                    f"{self.path(key)} is {shown(value)} and {self._outer.path(key)} is {shown(outer)}; only its"
                    " weights can say which of them holds"
                )
        if value is None:
            return default
        if not isinstance(value, bool):
            raise Invalid(f"{self.path(key)} is {shown(value)}; write true or false")
        return value

    def number(self, key: str, *, default: float) -> float:
        """A number above 0 and below 1000, such as a factor."""
        value = self.raw(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < LARGEST_FACTOR:
            raise Invalid(f"{self.path(key)} is {shown(value)}; write a number above 0 and below {LARGEST_FACTOR}")
        return float(value)

    def text(self, key: str) -> str | None:
        """A text, or None where it is absent."""
        value = self.raw(key)
        if value is None or isinstance(value, str):
            return value
        raise Invalid(f"{self.path(key)} is {shown(value)}; write a text")

    def part(self, key: str) -> Fields | None:
        """The mapping under a key, or None where it is absent."""
        value = self.raw(key)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise Invalid(f"{self.path(key)} is {shown(value)}; it must be a mapping")
        return Fields(value, where=self.path(key), of=self, outer=self)

    def inner(self, *keys: str) -> Fields:
        """The mapping under the first of these keys that is there. Raises Invalid where there is none."""
        for key in keys:
            found = self.part(key)
            if found is not None:
                return found
        raise Invalid(f"the configuration has no {' or '.join(self.path(key) for key in keys)}; it must be a mapping")

    def wholes(self, key: str, *, length: int | None = None, least: int = 0, most: int = LARGEST) -> list[int] | None:
        """A list of whole numbers, of this length where one is given and never longer than any model is deep."""
        values = self._listed(key, length)
        return None if values is None else [_whole(value, self.path(key), least, most) for value in values]

    def choices(self, key: str, known: Sequence[str], *, length: int | None) -> list[str] | None:
        """A list of names, one for each layer; a name that is not known is refused."""
        values = self._listed(key, length)
        for value in values or ():
            if value not in known:
                raise Refused(f"{self.path(key)} has {shown(value)}; known are {', '.join(known)}")
        return None if values is None else list(values)

    def only(self, key: str, *expected: Any) -> None:
        """Refuse a value that would make another model of it; absent is as expected."""
        value = self.raw(key)
        if value is not None and not any(value == right and type(value) is type(right) for right in expected):
            right = " or ".join(shown(one) for one in expected)
            raise Refused(f"{self.path(key)} is {shown(value)}; only {right} is known")

    def layers(self, *keys: str) -> int:
        """How many layers there are."""
        return self.whole(*(keys or ("num_hidden_layers",)), most=MOST_LAYERS)

    def _listed(self, key: str, length: int | None) -> Sequence[Any] | None:
        values = self.raw(key)
        if values is None:
            return None
        if not isinstance(values, list | tuple):
            raise Invalid(f"{self.path(key)} is {shown(values)}; write a list")
        if length is not None and len(values) < length:
            raise Invalid(f"{self.path(key)} has {len(values)} entries for {length} layers; write one for each")
        if length is None and len(values) > MOST_LAYERS:
            raise Invalid(f"{self.path(key)} has {len(values)} entries; at most {MOST_LAYERS} make sense")
        return values if length is None else values[:length]


def _whole(value: Any, path: str, least: int, most: int) -> int:
    right = f"write a whole number from {least} to {most}"
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Invalid(f"{path} is {shown(value)}; {right}")
    if not least <= value <= most:
        raise Invalid(f"{path} is {shown(value)}; {right}")
    return value


def shown(value: Any) -> str:
    """A value as a sentence can hold it, whatever it is."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and value.bit_length() > LONGEST_NUMBER_BITS:
        return "a number of more than 16 digits"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        return repr(value if len(value) <= LONGEST_TEXT else value[: LONGEST_TEXT - 3] + "...")
    if isinstance(value, list | tuple):
        return "a list"
    return "a mapping" if isinstance(value, Mapping) else "something else"
