"""Every metric of the gateway, its labels and its meaning; the gateway's only home of prometheus_client.

Labels are bounded: a service name is one of the route table or `unknown`, outcomes and reasons are enums. Gauges are
read from the table when someone scrapes, so they cost requests nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

UNKNOWN = "unknown"
_PREFIX = "headwater_gateway_"
_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Outcome(StrEnum):
    """How a request ended."""

    OK = "ok"
    INVALID = "invalid"  # the gateway refused what the client sent
    CLIENT_ERROR = "client_error"  # the replica refused what the client sent
    FULL = "full"  # every replica was full
    NO_REPLICA = "no_replica"
    UPSTREAM_ERROR = "upstream_error"  # the replica answered 5xx
    BROKEN = "broken"  # the replica's answer ended too early
    SILENT = "silent"  # the replica did not answer within the idle time
    CANCELLED = "cancelled"  # the client went away
    FAILED = "failed"  # a mistake in the gateway


class Retry(StrEnum):
    """Why a replica was passed over."""

    REFUSED = "refused"
    LOST = "lost"
    DRAINING = "draining"
    FULL = "full"


class _Outstanding(Collector):
    def __init__(
        self, outstanding: Callable[[], Mapping[str, Mapping[str, int]]], in_flight: Callable[[], int]
    ) -> None:
        self._outstanding = outstanding
        self._in_flight = in_flight

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield GaugeMetricFamily(f"{_PREFIX}in_flight", "Requests inside the gateway.", value=self._in_flight())
        family = GaugeMetricFamily(
            f"{_PREFIX}upstream_outstanding",
            "Requests sent to a replica and not finished.",
            labels=["service", "upstream"],
        )
        for service, counts in self._outstanding().items():
            for name, count in counts.items():
                family.add_metric([service, name], count)
        yield family


class Metrics:
    """Counters of one gateway, in a registry of their own."""

    def __init__(
        self, outstanding: Callable[[], Mapping[str, Mapping[str, int]]], in_flight: Callable[[], int]
    ) -> None:
        """`outstanding` gives requests by service and replica, `in_flight` those inside the gateway."""
        self._registry = CollectorRegistry()
        self._requests = Counter(
            f"{_PREFIX}requests",
            "Requests that ended.",
            ["service", "outcome"],
            registry=self._registry,
        )
        self._retries = Counter(
            f"{_PREFIX}upstream_retries",
            "Replicas passed over before an answer began.",
            ["service", "reason"],
            registry=self._registry,
        )
        self._first_byte = Histogram(
            f"{_PREFIX}first_byte_seconds",
            "From the request's head to the head of the replica's answer, retries and waiting included.",
            ["service"],
            buckets=_BUCKETS_S,
            registry=self._registry,
        )
        self._registry.register(_Outstanding(outstanding, in_flight))
        # Looking a child up costs more than counting, so each is looked up once.
        self._ended: dict[tuple[str, Outcome], Counter] = {}
        self._began: dict[str, Histogram] = {}

    def ended(self, service: str, outcome: Outcome) -> None:
        """Count a finished request."""
        child = self._ended.get((service, outcome))
        if child is None:
            child = self._ended[service, outcome] = self._requests.labels(service, outcome.value)
        child.inc()

    def passed_over(self, service: str, reason: Retry) -> None:
        """Count a replica that gave no answer to use."""
        self._retries.labels(service, reason.value).inc()

    def began(self, service: str, seconds: float) -> None:
        """Note how long the first byte of an answer took."""
        child = self._began.get(service)
        if child is None:
            child = self._began[service] = self._first_byte.labels(service)
        child.observe(seconds)

    def text(self) -> bytes:
        """All metrics in Prometheus' text form."""
        return generate_latest(self._registry)
