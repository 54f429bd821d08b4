"""The simulation against a real run of the edge engine: one trace, one machine.

Starts an edge server, measures how long it takes to read prompts and to decode, sends the trace open loop, and plays
the same trace in virtual time at the measured pace. The trace is cut into parts and the pace is measured between them,
because machines are busy; nothing of a run itself goes into the simulation but when its requests were sent and how many
tokens each answer had. Nothing here is a test.

    python benchmarks/simulate.py --artifact DIR --trace azure_conv_2023.csv [--requests 200] [--output table|json]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import subprocess
import sys
import time
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from orchestrator.adapters.traces import read_trace
from orchestrator.core.simulation.engine import Limits
from orchestrator.core.simulation.request import Asked
from orchestrator.core.simulation.run import play
from orchestrator.core.simulation.scene import Crew, Scene, Stage
from orchestrator.core.simulation.tally import Tally, distribution
from runtimes.edge.artifact import open_artifact
from runtimes.edge.session import CHUNK_TOKENS
from runtimes.edge.tokens import Vocabulary

CONTEXT_TOKENS = 2048
PROMPTS = (16, 128, 448, 960)  # tokens at which reading is measured
FIRST_TOKEN, TOKENS = 1000, 40_000  # ids of tokens that prompts begin with
AT_ONCE = 3  # prompts read one after the other in a measurement
SHORT, LONG, NEW = 32, 512, 48  # tokens: contexts at which steps are measured, and steps
TOLERANCE = 0.10
SENTENCE = "Once upon a time there was a small robot who lived in a house near the sea. "


@dataclass(frozen=True)
class Answer:
    """One request over HTTP: when it was sent and when its pieces came, in seconds of the client's clock."""

    sent_s: float
    arrivals_s: list[float]
    tokens: int

    @property
    def ttft_s(self) -> float:
        """Until the first token."""
        return self.arrivals_s[0] - self.sent_s

    @property
    def latency_s(self) -> float:
        """Until the last token."""
        return self.arrivals_s[-1] - self.sent_s


class Server:
    """The whole edge server in a process of its own, and a client for it."""

    def __init__(self, folder: Path, slots: int, threads: int) -> None:
        self.slots, self.queue = slots, 8 * slots
        command = [sys.executable, "-m", "runtimes.edge.main", "--artifact", str(folder), "--name", "bench"]
        sizes = {"port": 0, "slots": slots, "context": CONTEXT_TOKENS, "threads": threads, "queue": self.queue}
        command += [part for name, size in sizes.items() for part in (f"--{name}", str(size))]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        line = next((line for line in self._process.stderr if " is ready at " in line), None)
        if line is None:
            raise SystemExit("the server ended before it was ready")
        self._url = line.strip().rpartition(" ")[2] + "/v1/completions"
        self._asked = itertools.count()
        self._text = Vocabulary.load(open_artifact(folder).tokenizer).encode(SENTENCE * 200, special=False)

    async def ask(self, session: aiohttp.ClientSession, input_tokens: int, output_tokens: int, skip: int = 0) -> Answer:
        """One streamed completion of a prompt of exactly so many tokens."""
        begin = FIRST_TOKEN + next(self._asked) % TOKENS  # no two prompts begin alike: the engine would reuse them
        prompt = [begin, *self._text[skip % 17 :]][:input_tokens]
        body: dict[str, Any] = {"model": "bench", "prompt": prompt, "max_tokens": output_tokens, "temperature": 0}
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        sent_s, arrivals, tokens = time.perf_counter(), list[float](), 0
        async with session.post(self._url, json=body) as answer:
            if answer.status != 200:
                raise RuntimeError(await answer.text())
            async for line in answer.content:
                if line.startswith(b"data: {") and b'"choices":[]' not in line:
                    arrivals.append(time.perf_counter())
                elif b'"usage"' in line:
                    tokens = json.loads(line.removeprefix(b"data: "))["usage"]["completion_tokens"]
        return Answer(sent_s, arrivals, tokens)

    async def together(self, session: aiohttp.ClientSession, count: int, tokens: int, new: int) -> list[Answer]:
        """So many equal requests at once."""
        return await asyncio.gather(*(self.ask(session, tokens, new) for _ in range(count)))

    def close(self) -> None:
        """Let the server go."""
        self._process.terminate()
        self._process.wait(30)


@dataclass(frozen=True)
class Measured:
    """What was seen of the engine: a pace for the simulation."""

    slots: int
    front_s: float  # of a request outside the engine: HTTP, tokens to text, the client
    prefills: dict[int, float]  # seconds by prompt tokens
    steps: dict[int, tuple[float, float]]  # seconds by sequences, at the short and at the long context
    mixed: bool = False

    def prefill_s(self, tokens: int, cached: int = 0) -> float:
        """Reading a prompt."""
        if cached:
            raise ValueError("no two prompts of this run begin alike")
        return _between(self.prefills, tokens)

    def step_s(self, running: float, context_tokens: float) -> float:
        """One token for each; contexts between and beyond those measured lie on a line."""
        short, long = (_between({n: pair[at] for n, pair in self.steps.items()}, running) for at in (0, 1))
        begin, end = SHORT + NEW / 2, LONG + NEW / 2
        return short + (long - short) * (context_tokens - begin) / (end - begin)

    def mixed_step_s(self, running: float, context_tokens: float, prefill_tokens: float) -> float:
        """The edge engine takes turns instead."""
        return self.step_s(running, context_tokens) + self.prefill_s(int(prefill_tokens))


def _between(points: dict[int, float], at: float) -> float:
    """Straight between the points, and on beyond the last."""
    known = sorted(points)
    if len(known) == 1:
        return points[known[0]]
    right = min(max(bisect_right(known, at), 1), len(known) - 1)
    a, b = known[right - 1], known[right]
    return points[a] + (points[b] - points[a]) * (at - a) / (b - a)


async def measure(server: Server) -> Measured:
    """Read prompts alone and one after the other; decode alone and together."""
    async with aiohttp.ClientSession() as session:
        await server.together(session, server.slots, SHORT, 8)  # warm
        prefills, fronts = {}, []
        for tokens in PROMPTS:
            alone = await server.ask(session, tokens, 1)
            answers = await server.together(session, AT_ONCE, tokens, 1)
            ends = sorted(answer.arrivals_s[-1] for answer in answers)
            prefills[tokens] = (ends[-1] - ends[0]) / (AT_ONCE - 1)
            fronts.append(alone.latency_s - prefills[tokens])
        steps = {}
        for running in sorted({1, 2, 4, server.slots} & set(range(server.slots + 1))):
            pair = []
            for tokens in (SHORT, LONG):
                answers = await server.together(session, running, tokens, NEW + 8 * running)
                begin_s = max(answer.arrivals_s[0] for answer in answers)
                end_s = min(answer.arrivals_s[-1] for answer in answers)
                made = sum(begin_s < at_s <= end_s for answer in answers for at_s in answer.arrivals_s)
                pair.append(running * (end_s - begin_s) / made)
            steps[running] = (pair[0], pair[1])
    return Measured(server.slots, max(0.0, statistics.median(fronts)), prefills, steps)


def middle(measured: Sequence[Measured]) -> Measured:
    """The mean of several measurements."""
    mean = statistics.fmean
    first = measured[0]
    return Measured(
        first.slots,
        mean(m.front_s for m in measured),
        {at: mean(m.prefills[at] for m in measured) for at in first.prefills},
        {at: (mean(m.steps[at][0] for m in measured), mean(m.steps[at][1] for m in measured)) for at in first.steps},
    )


async def run(server: Server, trace: Sequence[Asked]) -> list[Answer]:
    """Send every request when it is due, whatever became of those before."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        begun_s = time.perf_counter()

        async def one(number: int, asked: Asked) -> Answer:
            await asyncio.sleep(max(0.0, begun_s + asked.at_s - time.perf_counter()))
            return await server.ask(session, asked.input_tokens, asked.output_tokens, number)

        return await asyncio.gather(*(one(number, asked) for number, asked in enumerate(trace)))


def the_trace(path: Path, requests: int, shorten: int, pace: Measured, load: float) -> list[Asked]:
    """The first requests of a trace, shorter so that the small model carries them, as often as the load wants it."""
    rows = [
        Asked(row.at_s, max(1, row.input_tokens // shorten), max(2, row.output_tokens // shorten))
        for row in read_trace(path, limit=requests)
    ]
    rows = [row for row in rows if row.input_tokens + row.output_tokens <= CONTEXT_TOKENS]
    full = pace.step_s(pace.slots, 300) / pace.slots
    work_s = sum(pace.prefill_s(row.input_tokens) + row.output_tokens * full for row in rows)
    slower = work_s / load / rows[-1].at_s
    return [row._replace(at_s=row.at_s * slower) for row in rows]


def simulate(trace: Sequence[Asked], answers: Sequence[Answer], server: Server, pace: Measured) -> Tally:
    """The same requests, sent at the same times, in virtual time."""
    begun_s = min(answer.sent_s - asked.at_s for answer, asked in zip(answers, trace, strict=True))
    made = [
        Asked(answer.sent_s - begun_s, asked.input_tokens, max(1, answer.tokens))
        for answer, asked in zip(answers, trace, strict=True)
    ]
    limits = Limits(CONTEXT_TOKENS, CHUNK_TOKENS, server.queue)
    crew = Crew(("bench",), "here", "edge", pace, limits, round_trip_s=pace.front_s)
    return play([Scene("bench", "student", {"student": Stage((crew,))})], sorted(made)).services[0].tiers["student"]


def compare(options: argparse.Namespace) -> dict[str, Any]:
    threads = psutil.cpu_count(logical=False) or 1
    server = Server(options.artifact, options.slots, threads)
    paces, loads = [], []
    ttft: tuple[list[float], list[float]] = ([], [])  # real, simulated
    latency: tuple[list[float], list[float]] = ([], [])
    try:
        paces.append(asyncio.run(measure(server)))
        trace = the_trace(options.trace, options.requests, options.shorten, paces[0], options.load)
        size = -(-len(trace) // options.parts)
        print(f"{len(trace)} requests in {trace[-1].at_s:.0f} s", file=sys.stderr, flush=True)
        for at in range(0, len(trace), size):
            part = [asked._replace(at_s=asked.at_s - trace[at].at_s) for asked in trace[at : at + size]]
            loads.append(psutil.getloadavg()[0])
            answers = asyncio.run(run(server, part))
            paces.append(asyncio.run(measure(server)))
            simulated = simulate(part, answers, server, middle(paces[-2:]))
            for mine, real, played in (
                (ttft, [answer.ttft_s for answer in answers], list(simulated.ttft_s)),
                (latency, [answer.latency_s for answer in answers], list(simulated.latency_s)),
            ):
                mine[0].extend(real)
                mine[1].extend(played)
                off = sum(played) / sum(real) - 1
                print(f"  part of {len(real)}: mean {off:+.1%}", file=sys.stderr, flush=True)
    finally:
        server.close()
    rows: list[dict[str, Any]] = []
    for name, (real, played) in (("first token", ttft), ("whole answer", latency)):
        seen, expected = distribution(array("d", real)) or {}, distribution(array("d", played)) or {}
        rows += [
            {"what": f"{name}, {what}", "real_s": seen[what], "simulated_s": expected[what]}
            | {"off": expected[what] / seen[what] - 1}
            for what in ("mean", "p50", "p95")
        ]
    return {
        "requests": len(trace),
        "seconds": trace[-1].at_s,
        "slots": options.slots,
        "threads": threads,
        "load_averages": loads,
        "paces": [vars(pace) for pace in paces],
        "rows": rows,
        "within": all(abs(row["off"]) <= TOLERANCE for row in rows if "p50" not in row["what"]),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare the simulation with a real run of the edge engine.")
    parser.add_argument("--artifact", type=Path, required=True, help="folder of the int4 artifact")
    parser.add_argument("--trace", type=Path, required=True, help="a trace in one of the public formats")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--shorten", type=int, default=4, help="divides the lengths of prompts and answers")
    parser.add_argument("--load", type=float, default=0.7, help="share of time the engine is to be busy")
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--parts", type=int, default=4, help="between them the pace is measured again")
    parser.add_argument("--output", choices=["table", "json"], default="table")
    options = parser.parse_args()
    result = compare(options)
    if options.output == "json":
        print(json.dumps(result, indent=1))
    else:
        print({name: value for name, value in result.items() if name not in {"rows", "paces"}})
        print(f"{'':24}{'real':>10}{'simulated':>12}{'off':>9}")
        for row in result["rows"]:
            print(f"{row['what']:24}{row['real_s']:>9.3f}s{row['simulated_s']:>11.3f}s{row['off']:>+9.1%}")
    return 0 if result["within"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
