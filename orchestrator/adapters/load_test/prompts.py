"""Real text, English and Chinese, as prompts of a wanted number of tokens, each different from its beginning on.

How many characters a token has only the server knows; `warm_up` asks it, which also wakes it up. Called by
`headwater verify`. The sentences are data in `manifests/prompts`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from http import HTTPStatus
from importlib import resources
from typing import Literal

from orchestrator.adapters.load_test.client import Endpoint, Request
from orchestrator.adapters.load_test.drive import drive
from orchestrator.core.verification.measured import Fault, Sample
from orchestrator.errors import Refused, Unavailable

Language = Literal["english", "chinese"]
LANGUAGES: tuple[Language, ...] = ("english", "chinese")
GUESS = {"english": 4.5, "chinese": 1.5}  # characters a token, until the server has counted
JOINTS = {"english": " ", "chinese": ""}
WISHES = {
    "english": "Retell this at length.",
    "chinese": "请详细复述。",
}
MOST_NUMBERS = 10**6  # a prompt begins with one, so that two with the same first sentence differ before it
TEMPLATE_TOKENS = 20  # what a chat template adds, until the server has counted
ATTEMPTS = 3  # for each question of the warm-up
ANSWER_TOKENS = 8  # of the warm-up
UNKNOWN_FIELD = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)
FULL_LENGTH = {"ignore_eos": True}  # asks engines that know it for answers of the whole length
TRANSIENT = (Fault.REFUSED, Fault.UNREACHABLE, Fault.TIMEOUT, Fault.BROKEN)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What requests are to be like.

    Attributes:
        input_tokens: of a prompt, with what the chat template adds.
        output_tokens: most tokens of an answer.
        languages: taken in turn.
        shared: share of the text that all prompts of a language begin with; caches of prefixes then help.
        seed: the same one gives the same prompts.
    """

    input_tokens: int
    output_tokens: int
    languages: tuple[Language, ...] = LANGUAGES
    shared: float = 0.0
    seed: int = 0


@dataclass(slots=True)
class Prompts:
    """An endless supply of prompts."""

    wanted: Wanted
    characters: dict[Language, int] = field(default_factory=dict)  # of the text of a prompt
    counted: bool = False  # the server has said how many tokens that is
    number: int = 0

    def __post_init__(self) -> None:
        for language in self.wanted.languages:
            self.characters[language] = _characters(self.wanted.input_tokens, GUESS[language])

    def take(self, language: Language | None = None, characters: int | None = None) -> str:
        """The next prompt, of the language whose turn it is unless told."""
        self.number += 1
        language = language or self.wanted.languages[self.number % len(self.wanted.languages)]
        count = self.characters[language] if characters is None else characters
        chance = random.Random(f"{self.wanted.seed} {self.number}")  # noqa: S311  a choice of sentences is no secret
        common = _text(language, round(count * self.wanted.shared), random.Random(self.wanted.seed))  # noqa: S311  same
        own = f"{chance.randrange(MOST_NUMBERS)}. {_text(language, count, chance)}"[: count - len(common)]
        return f"{common}{own}\n\n{WISHES[language]}"

    def requests(self, times_s: Iterator[float]) -> Iterator[Request]:
        """A request for each time."""
        for at_s in times_s:
            yield Request(at_s, self.take(), self.wanted.output_tokens)


def warm_up(endpoint: Endpoint, wanted: Wanted, patience_s: float) -> tuple[Endpoint, Prompts]:
    """Ask a few short questions: the server wakes up, and says how long prompts are and what it understands.

    Returns:
        The endpoint, with a wish for answers of full length where it understands it, and prompts of the right length.

    Raises:
        Unavailable: it does not answer, or refuses for now.
        Refused: it answers with something else than a stream of the OpenAI protocol.
    """
    prompts = Prompts(wanted)
    endpoint = replace(endpoint, extras=FULL_LENGTH)
    for language in wanted.languages:
        seen: list[tuple[int, int]] = []
        for _ in range(2):
            characters = prompts.characters[language]
            endpoint, sample = _ask(endpoint, prompts.take(language, characters), patience_s)
            if sample.prompt_tokens is None:
                break
            seen.append((characters, sample.prompt_tokens))
            prompts.characters[language] = _refined(wanted.input_tokens, seen)
            prompts.counted = True
    return endpoint, prompts


def _ask(endpoint: Endpoint, prompt: str, patience_s: float) -> tuple[Endpoint, Sample]:
    """One answer, tried again after what may pass; the wish for full length is dropped where it is not understood."""
    for _ in range(ATTEMPTS):
        driven = drive(endpoint, [Request(0.0, prompt, ANSWER_TOKENS)], patience_s=patience_s)
        if driven.interrupted:
            raise KeyboardInterrupt
        sample = driven.samples[0]
        if sample.fault is None:
            return endpoint, sample
        if endpoint.extras and sample.status in UNKNOWN_FIELD:
            endpoint = replace(endpoint, extras={})
        elif sample.fault not in TRANSIENT:
            break
    said = f"{endpoint.url} does not answer as {endpoint.model!r}: {sample.said}"
    raise (Unavailable if sample.fault in TRANSIENT else Refused)(said)


def _refined(wanted_tokens: int, seen: list[tuple[int, int]]) -> int:
    """Characters that should give the wanted tokens, by what the last counts say."""
    characters, tokens = seen[-1]
    if len(seen) > 1 and seen[0][0] != characters and seen[0][1] != tokens:
        per_token = (characters - seen[0][0]) / (tokens - seen[0][1])
    else:
        per_token = characters / max(1, tokens - TEMPLATE_TOKENS)
    if per_token <= 0:  # two texts of so nearly one length that chance decides
        per_token = characters / max(1, tokens)
    return max(1, round(characters + (wanted_tokens - tokens) * per_token))


def _characters(tokens: int, per_token: float) -> int:
    return max(1, round((tokens - TEMPLATE_TOKENS) * per_token))


def _text(language: Language, characters: int, chance: random.Random) -> str:
    """Sentences in a random order, again and again in another, cut to the length."""
    sentences, parts, length = list(_sentences(language)), [""], 0
    while length < characters:
        chance.shuffle(sentences)
        for sentence in sentences:
            parts.append(sentence + JOINTS[language])
            length += len(parts[-1])
            if length >= characters:
                break
    return "".join(parts)[:characters]


@cache
def _sentences(language: Language) -> tuple[str, ...]:
    text = resources.files("manifests").joinpath("prompts", f"{language}.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())
