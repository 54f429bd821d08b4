"""Who of those who wait is next: by priority, then by what each client has had, then by arrival.

Within a priority every client gets an equal share of the engine, counted in tokens as in "Fairness in Serving Large
Language Models" (Sheng et al., OSDI 2024): one for a prompt token that is read, two for one that is generated. A client
that comes back starts at what the least served has had, so nobody saves up a claim. Pure. Called by
`runtimes.edge.scheduler`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from runtimes.edge.generation import Generation

GENERATED_WEIGHT = 2  # of a generated token against one of a prompt


class Waiting:
    """The queue; a client is forgotten when it has nothing here any more."""

    def __init__(self) -> None:
        self._asked: list[Generation] = []  # by arrival
        self._had: dict[str, int] = {}
        self._here: Counter[str] = Counter()  # requests of each client, waiting or running

    def __len__(self) -> int:
        return len(self._asked)

    def __iter__(self) -> Iterator[Generation]:
        return iter(self._asked)

    def add(self, generation: Generation) -> None:
        """Join the queue."""
        client = generation.ask.client
        if not self._here[client]:
            self._had[client] = min(self._had.values(), default=0)
        self._here[client] += 1
        self._asked.append(generation)

    def take(self) -> Generation | None:
        """The next one leaves the queue and runs; its client stays here until `left`."""
        if not self._asked:
            return None
        taken = min(self._asked, key=lambda waits: (waits.ask.priority, self._had[waits.ask.client]))
        self._asked.remove(taken)
        return taken

    def least(self) -> Generation | None:
        """The one that would be turned away first: the newest of the least important."""
        return max(reversed(self._asked), key=lambda waits: waits.ask.priority, default=None)

    def drop(self, unwanted: Callable[[Generation], bool]) -> list[Generation]:
        """Those who leave the queue without having run."""
        gone = list(filter(unwanted, self._asked))
        if gone:
            left = set(gone)
            self._asked = [generation for generation in self._asked if generation not in left]
            for generation in gone:
                self.left(generation)
        return gone

    def left(self, generation: Generation) -> None:
        """A request has ended."""
        client = generation.ask.client
        self._here[client] -= 1
        if not self._here[client]:
            del self._here[client], self._had[client]

    def read(self, generation: Generation, tokens: int) -> None:
        """So many tokens of its prompt were read."""
        self._had[generation.ask.client] += tokens

    def generated(self, generation: Generation) -> None:
        """A token was generated for it."""
        self._had[generation.ask.client] += GENERATED_WEIGHT
