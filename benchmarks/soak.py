"""Random load on one edge replica: mixed lengths, streams, cancels, bad bodies, broken connections.

    python benchmarks/soak.py --artifact DIR --seconds 3600

Every answer is compared with what the same prompt got alone, so a lost or crossed request shows. Resident memory is
read every second: the mean of the last tenth may be at most `--growth` above that of the second tenth. Ends with code 1
when anything is wrong; prints one line of JSON. Needs nothing but Headwater itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil

CLIENTS = 12
TEXT = "The river rises in the hills, and every village on its banks has a name for it. "
BAD: tuple[bytes, ...] = (
    b"{",
    b"[]",
    b"\xff\xfe",
    b'{"model": "soak"}',
    b'{"model": "soak", "prompt": "x", "max_tokens": -1}',
    b'{"model": "soak", "prompt": "x", "temperature": "hot"}',
    b'{"model": "soak", "prompt": [999999]}',
    b'{"model": "soak", "prompt": "' + b"x " * 4000 + b'"}',
    b'{"model": "soak", "prompt": "x", "response_format": {"type": "json_schema"}}',
)


@dataclass
class Soak:
    """One run."""

    url: str
    port: int
    random: random.Random
    known: dict[tuple[str, int], str] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def prompts(self) -> list[tuple[str, int]]:
        """What is asked, with how many tokens of answer."""
        return [(f"{n}. " + TEXT * (1 + n % 7), 4 + 5 * (n % 8)) for n in range(24)]

    async def whole(self, http: aiohttp.ClientSession, prompt: str, tokens: int, **more: Any) -> str | None:
        """The answer in one message; None where the queue is full."""
        async with http.post(self.url + "/v1/completions", json=body(prompt, tokens) | more) as response:
            if response.status == 429:
                return None
            assert response.status == 200, f"{response.status} {await response.text()}"
            return (await response.json())["choices"][0]["text"]

    async def streamed(self, http: aiohttp.ClientSession, prompt: str, tokens: int, leave_after: int) -> str | None:
        """The answer as it comes; None where the queue is full, or after so many chunks."""
        text = ""
        async with http.post(self.url + "/v1/completions", json=body(prompt, tokens) | {"stream": True}) as response:
            if response.status == 429:
                return None
            assert response.status == 200, f"{response.status} {await response.text()}"
            chunks = 0
            async for line in response.content:
                if not line.startswith(b"data: {"):
                    continue
                choice = json.loads(line[6:])["choices"][0]
                text += choice["text"]
                chunks += 1
                if chunks == leave_after:
                    response.close()
                    return None
        return text

    async def one(self, http: aiohttp.ClientSession) -> None:
        """One request of a random kind."""
        prompt, tokens = self.random.choice(list(self.known))
        kind = self.random.choices(
            ["whole", "stream", "leave", "bad", "break", "several", "shaped", "hot"], [6, 6, 4, 3, 2, 1, 1, 1]
        )[0]
        said: str | None = None
        if kind == "whole":
            said = await self.whole(http, prompt, tokens)
        elif kind == "stream":
            said = await self.streamed(http, prompt, tokens, leave_after=0)
        elif kind == "leave":
            await self.streamed(http, prompt, tokens, leave_after=self.random.randint(1, 3))
        elif kind == "bad":
            async with http.post(self.url + "/v1/completions", data=self.random.choice(BAD)) as response:
                assert response.status == 400, f"a bad body got {response.status}"
        elif kind == "break":
            await asyncio.to_thread(self.broken, self.random.randint(1, 200))
        elif kind == "several":
            said = await self.whole(http, prompt, tokens, n=2, logprobs=3)
        elif kind == "shaped":
            shaped = await self.whole(http, prompt, 12, response_format={"type": "json_object"})
            assert shaped is None or shaped.lstrip().startswith("{"), "not the shape that was asked for"
        else:
            await self.whole(http, prompt, tokens, temperature=1.2, presence_penalty=0.5)
        if said is not None and said != self.known[prompt, tokens]:
            self.wrong.append(f"{kind}: {prompt[:10]!r} got {said[:60]!r}, alone {self.known[prompt, tokens][:60]!r}")
        self.seen[kind] += 1

    def broken(self, sent: int) -> None:
        """A connection that ends in the middle of a request."""
        content = json.dumps(body(TEXT, 30)).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as peer:
            peer.sendall((head + content)[: sent + len(head) // 2])

    async def client(self, until_s: float) -> None:
        """Requests one after the other."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(120)) as http:
            while time.monotonic() < until_s and len(self.wrong) < 10:
                try:
                    await self.one(http)
                except (AssertionError, aiohttp.ClientError, TimeoutError) as exc:
                    self.wrong.append(f"{type(exc).__name__}: {str(exc)[:200]}")


def body(prompt: str, tokens: int) -> dict[str, Any]:
    return {"model": "soak", "prompt": prompt, "max_tokens": tokens, "temperature": 0}


async def run(soak: Soak, process: psutil.Process, seconds: float) -> list[int]:
    """Resident bytes, every second."""
    memory: list[int] = []
    async with aiohttp.ClientSession() as http:
        for prompt, tokens in soak.prompts():
            soak.known[prompt, tokens] = await soak.whole(http, prompt, tokens) or ""
        until_s = time.monotonic() + seconds
        clients = [asyncio.create_task(soak.client(until_s)) for _ in range(CLIENTS)]
        while not all(client.done() for client in clients):
            memory.append(process.memory_info().rss)
            await asyncio.wait(clients, timeout=1.0)
        await asyncio.sleep(1)
        async with http.get(soak.url + "/metrics") as response:
            page = await response.text()
        for gauge in ("running", "waiting"):
            if f"headwater_edge_{gauge}_requests 0.0" not in page:
                soak.wrong.append(f"somebody is {gauge} still")
        for (prompt, tokens), said in soak.known.items():
            if await soak.whole(http, prompt, tokens) != said:
                soak.wrong.append(f"{prompt[:10]!r} is answered otherwise at the end")
    return memory


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifact", type=Path, required=True, help="folder of a built decoder")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--growth", type=float, default=0.03, help="of resident memory at most (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "runtimes.edge.main", "--artifact", str(options.artifact), "--name", "soak"]
    command += ["--port", str(port), "--slots", "4", "--context", "512", "--queue", "16"]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    soak = Soak(f"http://127.0.0.1:{port}", port, random.Random(options.seed))
    try:
        asyncio.run(ready(soak.url, server))
        memory = asyncio.run(run(soak, psutil.Process(server.pid), options.seconds))
    finally:
        server.terminate()
        code = server.wait(60)
    tenth = max(1, len(memory) // 10)
    early, late = statistics.mean(memory[tenth : 2 * tenth] or memory), statistics.mean(memory[-tenth:])
    if late > early * (1 + options.growth):
        soak.wrong.append(f"memory grew from {early / 2**20:.1f} to {late / 2**20:.1f} MiB")
    if code != 0:
        soak.wrong.append(f"the server ended with code {code}")
    print(
        json.dumps(
            {
                "seconds": options.seconds,
                "requests": dict(sorted(soak.seen.items())),
                "early_mib": round(early / 2**20, 1),
                "late_mib": round(late / 2**20, 1),
                "wrong": soak.wrong,
            }
        )
    )
    return 1 if soak.wrong else 0


async def ready(url: str, server: subprocess.Popen[bytes]) -> None:
    async with aiohttp.ClientSession() as http, asyncio.timeout(60):
        while server.poll() is None:
            try:
                async with http.get(url + "/readyz") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)
    raise SystemExit("The server did not start.")


if __name__ == "__main__":
    raise SystemExit(main())
