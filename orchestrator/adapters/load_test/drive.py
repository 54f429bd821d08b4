"""Load by a schedule that does not wait for answers (open loop), or so many requests at all times (closed loop).

`drive` is all that others call. One request is `orchestrator.adapters.load_test.client`; what is asked is
`orchestrator.adapters.load_test.prompts`; what the samples mean is `orchestrator.core.verification.measured`.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import aiohttp

from orchestrator.adapters.load_test.client import Client, Endpoint, Request
from orchestrator.core.verification.measured import Sample

MOST_OPEN = 900  # connections; most systems allow a program 1024 files
CONNECT_S = 10.0
TICK_S = 0.05
SHOW_EVERY = 20  # ticks
MOST_TICKS = 100_000
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0  # of a closed loop after a failure, so that it is no flood
PATIENCE_S = 300.0


@dataclass(slots=True)
class Driven:
    """What came of a run: a sample for each request that was answered or failed, in the order in which they ended.

    Attributes:
        samples: seconds in them count from the beginning of the run.
        drift_s: how late each tick of the client's own clock came: what it was too busy to notice.
        open: requests on their way.
        interrupted: whether somebody stopped it before its end; requests on their way then are not counted.
    """

    samples: list[Sample] = field(default_factory=list)
    drift_s: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_TICKS))
    open: int = 0
    interrupted: bool = False


def drive(
    endpoint: Endpoint,
    requests: Iterable[Request],
    *,
    at_once: int | None = None,
    for_s: float | None = None,
    least: int = 0,
    patience_s: float = PATIENCE_S,
    seen: Callable[[Driven, float], None] | None = None,
) -> Driven:
    """Send requests until there are no more, and wait for their answers.

    Ctrl-C ends it early with what was measured so far.

    Args:
        endpoint: where to ask.
        requests: in the order of their times; taken one by one, so it may be endless and may learn on the way.
        at_once: closed loop: so many at all times, whatever their times say; None sends each when it is due.
        for_s: send none later than so many seconds after the beginning.
        least: of a closed loop: send so many even if they take longer, unless one fails.
        patience_s: a request that takes longer fails.
        seen: called about once a second with the seconds since the beginning, from the loop that times: be quick.
    """
    run = _Run(Driven(), iter(requests), for_s, least, seen)
    try:
        asyncio.run(_drive(run, endpoint, at_once, patience_s))
    except KeyboardInterrupt:
        run.driven.interrupted = True
    return run.driven


async def _drive(run: _Run, endpoint: Endpoint, at_once: int | None, patience_s: float) -> None:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session:
        run.begun_s = time.perf_counter()
        client = Client(session, endpoint, patience_s=patience_s, clock=lambda: run.now_s)
        ticking = asyncio.create_task(run.tick())
        try:
            await (run.open_loop(client) if at_once is None else run.closed_loop(client, at_once))
        finally:
            ticking.cancel()


@dataclass(slots=True)
class _Run:
    driven: Driven
    requests: Iterator[Request]
    for_s: float | None
    least: int
    seen: Callable[[Driven, float], None] | None
    begun_s: float = 0.0
    sent: int = 0
    failed: bool = False

    @property
    def now_s(self) -> float:
        return time.perf_counter() - self.begun_s

    async def open_loop(self, client: Client) -> None:
        """Each request when it is due. Where too many are open it waits, and the wait counts as theirs."""
        room = asyncio.Semaphore(MOST_OPEN)
        async with asyncio.TaskGroup() as group:
            for request in self.requests:
                if self.for_s is not None and request.at_s >= self.for_s:
                    break
                await asyncio.sleep(max(0.0, request.at_s - self.now_s))
                await room.acquire()
                asking = group.create_task(self._ask(client, request, request.at_s))
                asking.add_done_callback(lambda _: room.release())

    async def closed_loop(self, client: Client, at_once: int) -> None:
        """The next request when one has ended."""
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(self._one_after_another(client))

    async def _one_after_another(self, client: Client) -> None:
        pause_s = FIRST_PAUSE_S
        for request in self.requests:
            enough = self.failed or self.sent >= self.least
            if self.for_s is not None and self.now_s >= self.for_s and enough:
                break
            if (await self._ask(client, request, self.now_s)).fault is None:
                pause_s = FIRST_PAUSE_S
            else:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _ask(self, client: Client, request: Request, due_s: float) -> Sample:
        self.driven.open += 1
        self.sent += 1
        try:
            sample = await client.ask(request, due_s)
        finally:
            self.driven.open -= 1
        self.driven.samples.append(sample)
        self.failed = self.failed or sample.fault is not None
        return sample

    async def tick(self) -> None:
        """Notice how late this client itself is, and show how far it is."""
        for number in itertools.count(1):
            before_s = self.now_s
            await asyncio.sleep(TICK_S)
            self.driven.drift_s.append(max(0.0, self.now_s - before_s - TICK_S))
            if self.seen is not None and number % SHOW_EVERY == 0:
                self.seen(self.driven, self.now_s)


def arrivals(rate_per_s: float, seed: int = 0) -> Iterator[float]:
    """Seconds at which requests come when nobody knows of anybody else (a Poisson stream), the first at once."""
    chance = random.Random(seed)  # noqa: S311  a schedule is no secret, and the same seed gives the same one
    at_s = 0.0
    while True:
        yield at_s
        at_s += chance.expovariate(rate_per_s)
