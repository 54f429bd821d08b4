"""Streaming clients of an OpenAI completions server, and what they saw: when each token came.

Used by `edge.py` and `edge_peers.py`, so that every server is asked by the same code. A client is a thread of its own;
tokens are counted by the server's own usage, because several may come in one event.
"""

from __future__ import annotations

import http.client
import json
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
        """Read one answer to its end."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=300)
        body = {"model": "bench", "prompt": prompt, "max_tokens": tokens, "temperature": 0, "stream": True}
        body |= {"stream_options": {"include_usage": True}, **self._extra}
        asked_s = time.perf_counter()
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise SystemExit(f"the server answers {answer.status}: {answer.read(500)!r}")
        arrivals_s, made = [], 0
        for line in answer:
            if not line.startswith(b"data: {"):
                continue
            at_s, event = time.perf_counter(), json.loads(line.removeprefix(b"data: "))
            if any(choice.get("text") for choice in event["choices"]):
                arrivals_s.append(at_s)
            made = (event.get("usage") or {}).get("completion_tokens", made)
        connection.close()
        if made != tokens:
            raise SystemExit(f"The answer ended after {made} of {tokens} tokens; the prompt must be changed.")
        return Seen(asked_s, arrivals_s)
