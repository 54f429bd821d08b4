"""SPDX licence expressions: reading them, and whether a set of named licences permits one.

Pure. Ids are compared without regard to case; `LicenseRef-…` ids stand for texts that SPDX does not list. Ids are not
looked up in the SPDX list: model licences are mostly not on it. Called by `orchestrator.api.model` and
`orchestrator.api.service` when documents are read, and by `orchestrator.core.policy`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

LONGEST = 120  # characters; also bounds how deep parentheses can go
EXAMPLE = "such as Apache-2.0, MIT AND LicenseRef-Qwen-Research, or NOASSERTION"
_TOKEN = re.compile(r"\s*([()]|[^\s()]+)")
_ID = re.compile(r"(DocumentRef-[A-Za-z0-9.-]+:)?[A-Za-z0-9][A-Za-z0-9.-]*\+?")
_VERSIONED = re.compile(r"(.+)-(\d+(?:\.\d+)*)")
_WORDS = ("and", "or", "with")


@dataclass(frozen=True, slots=True)
class Term:
    """One licence: `GPL-2.0+ WITH Classpath-exception-2.0` has an id, later versions too, and an exception."""

    id: str  # as written, with its `+`
    family: str  # folded, without the version
    version: tuple[int, ...]  # empty when the id ends in none
    later: bool  # this version or any later one, as the licensee chooses
    exception: str = ""

    def __str__(self) -> str:
        return f"{self.id} WITH {self.exception}" if self.exception else self.id


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every part binds."""

    parts: tuple[Expression, ...]

    def __str__(self) -> str:
        return " AND ".join(f"({part})" if isinstance(part, AnyOf) else str(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The licensee chooses one part."""

    parts: tuple[Expression, ...]

    def __str__(self) -> str:
        return " OR ".join(map(str, self.parts))


Expression = Term | AllOf | AnyOf


@functools.lru_cache(maxsize=1024)  # planning asks the same few again and again
def parse(text: str) -> Expression:
    """Read an expression. Raises ValueError with one sentence for what is none."""
    if len(text) > LONGEST:
        raise ValueError(f"a licence expression has at most {LONGEST} characters, this one has {len(text)}")
    tokens = _TOKEN.findall(text)
    if not tokens:
        raise ValueError(f"an empty text is no licence; write an SPDX expression, {EXAMPLE}")
    reading = _Reading(tokens)
    found = reading.either()
    if reading.next:
        raise ValueError(_unexpected(reading.next, text, tokens))
    return found


def terms(expression: Expression) -> Iterator[Term]:
    """Every licence an expression names, in written order."""
    if isinstance(expression, Term):
        yield expression
    else:
        for part in expression.parts:
            yield from terms(part)


def same(one: Expression, other: Expression) -> bool:
    """Whether two expressions say the same, whatever the order of their parts and the case of their ids."""
    return _key(one) == _key(other)


def permits(named: Iterable[Expression], expression: Expression) -> bool:
    """Whether the named licences permit the expression: all parts of an AND, one of an OR, or the whole by name.

    `X+` meets every later version of X. An exception counts as part of the licence: it is permitted where it is named.
    """
    known = tuple(named)
    if any(same(one, expression) for one in known):
        return True
    if isinstance(expression, Term):
        return any(isinstance(one, Term) and _meets(one, expression) for one in known)
    return (all if isinstance(expression, AllOf) else any)(permits(known, part) for part in expression.parts)


def missing(named: Iterable[Expression], expression: Expression) -> tuple[Term, ...]:
    """The fewest licences that would have to be named as well; empty when the expression is permitted."""
    known = tuple(named)
    if permits(known, expression):
        return ()
    if isinstance(expression, Term):
        return (expression,)
    lacking = [missing(known, part) for part in expression.parts]
    if isinstance(expression, AnyOf):
        return min(lacking, key=len)
    return tuple(dict.fromkeys(term for part in lacking for term in part))


def _meets(named: Term, term: Term) -> bool:
    """Whether some version is in both; versions are compared only within a family."""
    if named.family != term.family or named.exception.lower() != term.exception.lower():
        return False
    if named.version == term.version:
        return True
    if not named.version or not term.version:
        return False
    return min(named, term, key=lambda one: one.version).later


def _key(expression: Expression) -> object:
    if isinstance(expression, Term):
        return (expression.family, expression.version, expression.later, expression.exception.lower())
    return (type(expression), frozenset(map(_key, expression.parts)))


class _Reading:
    """Tokens to an expression; AND binds before OR, WITH before both."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens, self._at = tokens, 0

    @property
    def next(self) -> str:
        """The token to be read, empty at the end."""
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def either(self) -> Expression:
        parts = [self._both()]
        while self._take("or"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else AnyOf(tuple(_flat(AnyOf, parts)))

    def _both(self) -> Expression:
        parts = [self._one()]
        while self._take("and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else AllOf(tuple(_flat(AllOf, parts)))

    def _one(self) -> Expression:
        if self._take("("):
            inside = self.either()
            if not self._take(")"):
                raise ValueError("a parenthesis of the licence expression is not closed; write ')'")
            return inside
        name = self._id("a licence id")
        exception = self._id("the id of an exception") if self._take("with") else ""
        return _term(name, exception)

    def _id(self, what: str) -> str:
        found = self.next
        if not _ID.fullmatch(found) or found.lower() in _WORDS:
            got = f"{found[:40]!r}" if found else "the end"
            raise ValueError(f"expected {what} and found {got}; write an SPDX expression, {EXAMPLE}")
        self._at += 1
        return found

    def _take(self, word: str) -> bool:
        found = self.next.lower() == word
        self._at += found
        return found


def _flat(kind: type[AllOf | AnyOf], parts: Iterable[Expression]) -> Iterator[Expression]:
    """Parts without a group of the same kind inside: `A AND (B AND C)` has three."""
    for part in parts:
        if isinstance(part, AllOf | AnyOf) and isinstance(part, kind):
            yield from part.parts
        else:
            yield part


def _term(name: str, exception: str) -> Term:
    folded = name.lower()
    plain = folded.removesuffix("+").removesuffix("-or-later").removesuffix("-only")
    later = folded.endswith(("+", "-or-later"))
    found = _VERSIONED.fullmatch(plain)
    if found is None:
        return Term(name, plain, (), later, exception)
    numbers = [int(number) for number in found[2].split(".")]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return Term(name, found[1], tuple(numbers), later, exception)


def _unexpected(token: str, text: str, tokens: list[str]) -> str:
    if _ID.fullmatch(token) and len(tokens) > 1 and not {"(", ")"} & set(tokens):
        joined = "-".join(tokens)
        return f"{text[:64]!r} is no SPDX expression; join words with AND or OR, or write one id such as {joined[:64]}"
    return f"{token[:40]!r} is too much in the licence expression; write an SPDX expression, {EXAMPLE}"


def _checked(text: str) -> str:
    parse(text)
    return text.strip()


Spdx = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST), AfterValidator(_checked)]
"""The text of an SPDX expression."""
