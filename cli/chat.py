"""`headwater chat`: ask a service through the gateway, streaming."""

from __future__ import annotations

import http.client
import json
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import ServiceArgument
from cli.output import Output, OutputOption, say, show, time_for_people
from runtimes.errors import HeadwaterError, Refused, Unavailable

if TYPE_CHECKING:
    from orchestrator.settings import Settings

PATIENCE_S = 120.0
TOO_BUSY = (429, 502, 503)
NO_REPLICA = "no_ready_replica"


class NotReady(Unavailable):
    """The gateway knows the service and has no replica of it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and how fast."""

    text: str
    first_token_s: float
    prompt_tokens: int  # with what the model's chat template adds
    tokens: int
    last_token_s: float

    @property
    def tokens_per_s(self) -> float:
        """Decode pace after the first token."""
        spent_s = self.last_token_s - self.first_token_s
        return (self.tokens - 1) / spent_s if self.tokens > 1 and spent_s > 0 else 0.0


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog='Example: headwater chat assistant "What is the capital of France?"')
    def chat(
        name: ServiceArgument,
        prompt: Annotated[str, typer.Argument(help="What to ask; - reads standard input.")],
        max_tokens: Annotated[int, typer.Option(min=1)] = 256,
        temperature: Annotated[float, typer.Option(min=0.0, max=2.0)] = 0.0,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Ask one question and print the answer as it comes."""
        from cli.control import endpoint_port
        from orchestrator.settings import read_settings

        settings = read_settings()
        port = endpoint_port(settings)
        question = sys.stdin.read() if prompt == "-" else prompt
        quiet = output is not Output.TABLE
        try:
            answer = ask(port, name, question, max_tokens=max_tokens, temperature=temperature, quiet=quiet)
        except NotReady as exc:
            raise explained(exc, name, settings) from exc
        value = {
            "answer": answer.text,
            "firstTokenSeconds": round(answer.first_token_s, 4),
            "tokensPerSecond": round(answer.tokens_per_s, 1),
            "promptTokens": answer.prompt_tokens,
            "tokens": answer.tokens,
        }
        show(value, output, lambda: say(pace(answer)))


def explained(not_ready: NotReady, service: str, settings: Settings) -> HeadwaterError:
    """The gateway's no with the controller's reason; Refused when waiting will not help."""
    from cli.control import Control

    try:
        services = Control(settings).status()["services"]
    except HeadwaterError:
        return not_ready
    tiers = [tier for one in services if one["name"] == service for tier in one["tiers"]]
    for state in ("blocked", "waiting", "progressing"):
        for tier in tiers:
            if tier["state"] == state and tier["tier"] == "student":
                said = f"no replica of {service!r} is ready: {tier['tier']} is {state}: {tier['why']}"
                return Refused(said) if state == "blocked" else NotReady(said)
    return not_ready


def pace(answer: Answer) -> str:
    """Measured speed for a person."""
    first = time_for_people(answer.first_token_s)
    return f"[first token {first}, {answer.tokens_per_s:.0f} tokens/s, {answer.tokens} tokens]"


def ask(
    port: int, service: str, prompt: str, *, max_tokens: int, temperature: float = 0.0, quiet: bool = False
) -> Answer:
    """Ask over the OpenAI protocol. Raises Refused or Unavailable with the server's own sentence."""
    body = {
        "model": service,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": max_tokens,
        "temperature": temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    started_s = time.perf_counter()
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != http.client.OK:
            _refuse(response)
        return _read(response, started_s, quiet=quiet)
    except (OSError, http.client.HTTPException) as exc:
        raise Unavailable(f"the gateway at port {port} does not answer: {exc}") from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise Unavailable(f"what answers at port {port} does not speak the OpenAI protocol") from exc
    finally:
        connection.close()


def _read(response: http.client.HTTPResponse, started_s: float, *, quiet: bool) -> Answer:
    pieces: list[str] = []
    first_s, last_s, prompt_tokens, tokens = 0.0, 0.0, 0, 0
    for line in response:
        if not line.startswith(b"data: ") or line.strip() == b"data: [DONE]":
            continue
        event: dict[str, Any] = json.loads(line[6:])
        if "error" in event:
            raise Unavailable(event["error"]["message"])
        if event.get("usage"):
            prompt_tokens, tokens = event["usage"]["prompt_tokens"], event["usage"]["completion_tokens"]
        for choice in event.get("choices", []):
            piece = choice["delta"].get("content") or ""
            if piece:
                last_s = time.perf_counter() - started_s
                first_s = first_s or last_s
                pieces.append(piece)
                if not quiet:
                    typer.echo(piece, nl=False)
    if not quiet:
        typer.echo()
    return Answer("".join(pieces), first_s, prompt_tokens, tokens, last_s)


def _refuse(response: http.client.HTTPResponse) -> None:
    text = response.read().decode(errors="replace")
    code = None
    try:
        error = json.loads(text)["error"]
        message, code = str(error["message"]), error.get("code")
    except (ValueError, KeyError, TypeError, AttributeError):
        message = f"the gateway answered {response.status}"
    if code == NO_REPLICA:
        raise NotReady(message)
    raise Unavailable(message) if response.status in TOO_BUSY else Refused(message)
