"""What an edge replica counts, for Prometheus.

The one home of `prometheus_client` in the edge engine. Each replica has its own registry; label values come from fixed
sets. Called by `runtimes.edge.server`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST
FIRST_TOKEN_S = (0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6)
TOKEN_S = (0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28)


class Outcome(StrEnum):
    """How a request ended."""

    ANSWERED = "answered"
    INVALID = "invalid"  # the client must change it
    TURNED_AWAY = "turned_away"  # full, starting or draining
    LEFT = "left"  # the client went away
    FAILED = "failed"


class Watched(Protocol):
    """An engine whose gauges are shown."""

    @property
    def running(self) -> int:
        """Requests that are being worked on."""

    @property
    def waiting(self) -> int:
        """Requests that wait."""

    @property
    def slots(self) -> int:
        """Requests worked on together at most."""

    @property
    def cache_bytes(self) -> int:
        """Bytes reserved for caches."""


class EdgeMetrics:
    """Counters of one replica."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        name = "headwater_edge_"
        self._requests = Counter(
            name + "requests", "Requests, by how they ended.", ["outcome"], registry=self._registry
        )
        self._prompt = Counter(name + "prompt_tokens", "Prompt tokens of accepted requests.", registry=self._registry)
        self._reused = Counter(
            name + "reused_prompt_tokens", "Prompt tokens found in the caches.", registry=self._registry
        )
        self._generated = Counter(name + "generated_tokens", "Tokens generated.", registry=self._registry)
        self._first_token = Histogram(
            name + "first_token_seconds",
            "From acceptance to the first token.",
            buckets=FIRST_TOKEN_S,
            registry=self._registry,
        )
        self._token = Histogram(
            name + "token_seconds", "Mean time per token after the first.", buckets=TOKEN_S, registry=self._registry
        )
        self._running = Gauge(name + "running_requests", "Requests that have a slot.", registry=self._registry)
        self._waiting = Gauge(name + "waiting_requests", "Requests that wait for one.", registry=self._registry)
        self._slots = Gauge(name + "slots", "Requests decoded together at most.", registry=self._registry)
        self._cache = Gauge(name + "cache_bytes", "Bytes reserved for caches.", registry=self._registry)
        for outcome in Outcome:
            self._requests.labels(outcome.value)

    def watch(self, engine: Watched) -> None:
        """Read the gauges from this engine whenever they are asked for."""
        self._running.set_function(lambda: engine.running)
        self._waiting.set_function(lambda: engine.waiting)
        self._slots.set(engine.slots)
        self._cache.set(engine.cache_bytes)

    def accepted(self, prompt_tokens: int) -> None:
        """A request was taken in."""
        self._prompt.inc(prompt_tokens)

    def first_token(self, seconds: float, reused_tokens: int) -> None:
        """A request got its first token; so much of its prompt was in the caches."""
        self._first_token.observe(seconds)
        self._reused.inc(reused_tokens)

    def generated(self, tokens: int, after_first_s: float) -> None:
        """A request ended with so many tokens, all but the first within this time."""
        self._generated.inc(tokens)
        if tokens > 1:
            self._token.observe(after_first_s / (tokens - 1))

    def ended(self, outcome: Outcome) -> None:
        """A request got its last word."""
        self._requests.labels(outcome.value).inc()

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self._registry)
