"""Streaming clients of an OpenAI completions server, and what they saw: when each token came.

Used by `edge.py` and `edge_peers.py`, so that every server is asked by the same code. A client is a thread of its own;
tokens are counted by the server's own usage, because several may come in one event.
"""

from __future__ import annotations

import json
import socket
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple


class Measured(NamedTuple):
    """One contestant's time in one round: seconds to the first token, and tokens per second after it."""

    first_s: float
    rate: float


class Seen(NamedTuple):
    """What one client saw: when it asked, and when each event with text came."""

    asked_s: float
    arrivals_s: list[float]

    def longest_gap(self) -> float:
        """The longest wait between two events, in medians of all such waits."""
        gaps = [later - earlier for earlier, later in zip(self.arrivals_s, self.arrivals_s[1:], strict=False)]
        return max(gaps) / statistics.median(gaps)


class Clients:
    """Clients of one server."""

    def __init__(self, host: str, port: int, extra: dict[str, Any]) -> None:
        self._host, self._port, self._extra = host, port, extra

    def run(self, prompts: list[list[int]], tokens: int) -> Measured:
        """Ask with one client per prompt; the rate counts only the time in which all of them receive."""
        with ThreadPoolExecutor(len(prompts)) as pool:
            seen = list(pool.map(lambda prompt: self.ask(prompt, tokens), prompts))
        first_s = min(one.arrivals_s[0] for one in seen) - min(one.asked_s for one in seen)
        if len(seen) == 1:  # several tokens may come at once where the engine guesses right
            span_s = seen[0].arrivals_s[-1] - seen[0].arrivals_s[0]
            return Measured(first_s, max(1, tokens - 1) / max(1e-9, span_s))
        from_s = max(one.arrivals_s[0] for one in seen)
        to_s = min(one.arrivals_s[-1] for one in seen)
        made = sum(from_s < at <= to_s for one in seen for at in one.arrivals_s)
        return Measured(first_s, made / max(1e-9, to_s - from_s))

    def ask(self, prompt: list[int], tokens: int) -> Seen:
        """Read one answer to its end; what came is looked at afterwards, so that the client takes little time."""
        body = {"model": "bench", "prompt": prompt, "max_tokens": tokens, "temperature": 0, "stream": True}
        body |= {"stream_options": {"include_usage": True}, **self._extra}
        head = f"POST /v1/completions HTTP/1.1\r\nHost: {self._host}\r\nConnection: close\r\n"
        wanted = json.dumps(body).encode()
        with socket.create_connection((self._host, self._port), timeout=300) as connection:
            asked_s = time.perf_counter()
            connection.sendall(
                f"{head}Content-Type: application/json\r\nContent-Length: {len(wanted)}\r\n\r\n".encode()
            )
            connection.sendall(wanted)
            received = []
            while part := connection.recv(1 << 16):
                received.append((time.perf_counter(), part))
        arrivals_s, made = _looked_at(received)
        if made != tokens:
            raise SystemExit(f"The answer ended after {made} of {tokens} tokens; the prompt must be changed.")
        return Seen(asked_s, arrivals_s)


def _looked_at(received: list[tuple[float, bytes]]) -> tuple[list[float], int]:
    """When each event with text came, and how many tokens the server says it made."""
    arrivals_s, made, rest = [], 0, b""
    for at_s, part in received:
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line.removeprefix(b"data: "))
            if any(choice.get("text") for choice in event["choices"]):
                arrivals_s.append(at_s)
            made = (event.get("usage") or {}).get("completion_tokens", made)
    if not arrivals_s:
        raise SystemExit(f"the server answers {received[0][1][:500]!r}" if received else "the server does not answer")
    return arrivals_s, made
