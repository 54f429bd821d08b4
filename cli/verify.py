"""`headwater verify`: put load on a real endpoint, and hold what it does against what was predicted."""

from __future__ import annotations

import os
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

import typer

from cli import verify_plan, verify_run
from cli.options import ServiceArgument
from cli.output import Output, OutputOption, rate_for_people, say, show
from runtimes.errors import Invalid

if TYPE_CHECKING:
    from cli.verify_plan import Planned
    from cli.verify_report import Point
    from orchestrator.adapters.load_test.client import Endpoint
    from orchestrator.adapters.load_test.prompts import Wanted
    from orchestrator.core.verification.expected import Load

DURATION = "30s"
PATIENCE = "300s"
TOKENS = (256, 128)  # of prompt and answer, where no plan says what is typical
SLOTS = 8  # where no plan says how many run at once
SPREAD = {False: (1, 4, 8), True: (1, 16, 64)}  # at once in a sweep: where few run together, and where many do
MANY = 16
LONGER = 4  # times the typical prompt: the second length of a sweep
SPARE_TOKENS = 32  # of the context, for prompts that come out longer than wanted
INTERRUPTED = 130
LONGEST_S = 86_400.0


class Language(StrEnum):
    """What prompts are written in."""

    MIXED = "mixed"
    ENGLISH = "english"
    CHINESE = "chinese"


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(
        epilog="Examples: headwater verify assistant; headwater verify assistant --concurrency 8 --duration 1min; "
        "headwater verify assistant --sweep --to rows.csv; "
        "headwater verify big --url https://host/v1 --model big-7b --key-env KEY --file service.yaml --file site.yaml"
    )
    def verify(
        name: ServiceArgument,
        url: Annotated[
            str | None, typer.Option(help="OpenAI endpoint, such as http://host:8000/v1; this machine's without it.")
        ] = None,
        model: Annotated[str | None, typer.Option(help="What the endpoint calls the model; NAME without it.")] = None,
        key_env: Annotated[str | None, typer.Option(help="Environment variable that has the endpoint's key.")] = None,
        file: Annotated[
            list[Path] | None,
            typer.Option(exists=True, dir_okay=False, help="Plan to compare with, for --url: services and sites."),
        ] = None,
        tier: Annotated[
            Literal["student", "teacher"] | None,
            typer.Option(help="Which tier answers; the student where there is one."),
        ] = None,
        rate: Annotated[
            str | None, typer.Option(help="Open loop, such as 2/s; the service's demand without it.")
        ] = None,
        concurrency: Annotated[
            int | None, typer.Option(min=1, max=900, help="Closed loop: so many requests at all times.")
        ] = None,
        duration: Annotated[
            str | None,
            typer.Option(help="How long requests are sent; 30s without it. A closed loop sends at least two rounds."),
        ] = None,
        requests: Annotated[int | None, typer.Option(min=1, help="How many requests are sent.")] = None,
        input_tokens: Annotated[int | None, typer.Option(min=1, max=1_000_000, help="Tokens of a prompt.")] = None,
        output_tokens: Annotated[
            int | None, typer.Option(min=1, max=1_000_000, help="Most tokens of an answer.")
        ] = None,
        language: Annotated[Language, typer.Option(help="What prompts are written in.")] = Language.MIXED,
        shared_prefix: Annotated[
            str, typer.Option(help="Share of each prompt that is the same in all, for caches of prefixes.")
        ] = "0%",
        timeout: Annotated[str, typer.Option(help="A request that takes longer fails.")] = PATIENCE,
        seed: Annotated[
            int | None, typer.Option(help="Repeats prompts and arrivals, as far as caches allow; new ones without it.")
        ] = None,
        sweep: Annotated[
            bool, typer.Option("--sweep", help="Closed loop at several sizes and two prompt lengths, for calibration.")
        ] = False,
        to: Annotated[
            Path | None, typer.Option(dir_okay=False, help="Add a row for each run to this CSV file.")
        ] = None,
        output: OutputOption = Output.TABLE,
    ) -> None:
        """Put load on a running service and hold what it does against the prediction.

        Exit code 0: inside the band or better. 1: worse, or requests failed. 3: too little to tell.
        """
        from cli import verify_report
        from orchestrator.adapters.load_test.prompts import LANGUAGES, Wanted

        if to is not None:
            verify_report.check_rows(to)
        for_s = _seconds(DURATION if duration is None else duration, "--duration")
        patience_s, shared = _seconds(timeout, "--timeout"), _share(shared_prefix)
        asked = _asked(rate, concurrency)
        if sweep and asked:
            raise Invalid("--sweep has its own loads; leave --rate and --concurrency out")
        endpoint, planned = _where(name, url, model, key_env, file or [], tier)
        run = verify_run.Run(
            endpoint,
            planned,
            for_s=None if requests and duration is None else for_s,
            requests=requests,
            patience_s=patience_s,
            seed=int(time.time()) if seed is None else seed,
        )
        usual = (planned.input_tokens, planned.output_tokens) if planned else TOKENS
        wanted = Wanted(
            input_tokens=input_tokens or usual[0],
            output_tokens=output_tokens or usual[1],
            languages=tuple(one for one in LANGUAGES if language in (Language.MIXED, one)),
            shared=shared,
            seed=run.seed,
        )
        loads = _sweep(planned, wanted) if sweep else [(asked or _demand(planned), wanted)]
        points, interrupted = verify_run.drive_all(run, loads, output, to)
        value = _value(name, run, points)
        show(value, output, lambda: say(f"verdict: {value['verdict']}"))
        if code := INTERRUPTED if interrupted else EXIT[value["verdict"]]:
            raise typer.Exit(code)


EXIT = {"inside": 0, "better": 0, "measured": 0, "worse": 1, "failed": 1, "unclear": 3}
ORDER = ("failed", "worse", "unclear", "better", "inside", "measured")  # the first that any run has is said of all


def _value(name: str, run: verify_run.Run, points: list[Point]) -> dict[str, Any]:
    from cli.verify_report import point_view

    verdicts = {one.verdict.value for one in points}
    return {
        "service": name,
        "tier": run.planned.tier if run.planned else None,
        "url": run.endpoint.url,
        "model": run.endpoint.model,
        "seed": run.seed,
        "runs": [point_view(one) for one in points],
        "verdict": next((one for one in ORDER if one in verdicts), "unclear"),
    }


def _where(
    name: str, url: str | None, model: str | None, key_env: str | None, files: list[Path], tier: str | None
) -> tuple[Endpoint, Planned | None]:
    """The endpoint, and the plan it is held against."""
    from cli.control import endpoint_port
    from orchestrator.adapters.load_test.client import Endpoint
    from orchestrator.settings import read_settings

    settings = read_settings()
    if url is None:
        if model or key_env or files:
            raise Invalid("--model, --key-env and --file are for an endpoint elsewhere; give its --url as well")
        port = endpoint_port(settings)
        return Endpoint(f"http://127.0.0.1:{port}/v1", name), verify_plan.running(name, tier, settings)
    address = _address(url)
    planned = verify_plan.written(name, tier, files, settings) if files else None
    return Endpoint(address, model or name, _key(key_env)), planned


def _address(url: str) -> str:
    """The address without what it need not end in."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if not known or parts.query or parts.fragment or not url.isprintable() or " " in url:
        raise Invalid(f"--url {url[:80]!r} is no endpoint; write one such as http://host:8000/v1")
    if parts.username or parts.password:
        raise Invalid("--url has a password in it; put the key into an environment variable and name it with --key-env")
    return url.rstrip("/")


def _key(variable: str | None) -> str:
    if variable is None:
        return ""
    key = os.environ.get(variable, "").strip()
    if not key or not key.isascii() or not key.isprintable():
        raise Invalid(f"environment variable {variable[:80]} has no key; set it to one line of plain characters")
    return key


def _seconds(written: str, option: str) -> float:
    from orchestrator.api.quantities import DURATION as DURATIONS

    try:
        seconds = DURATIONS.parse(written)
    except ValueError as exc:
        raise Invalid(f"{option}: {exc}") from exc
    if not 0 < seconds <= LONGEST_S:
        raise Invalid(f"{option} {written} must be more than nothing and at most a day, such as {DURATION}")
    return seconds


def _share(written: str) -> float:
    from orchestrator.api.quantities import SHARE

    try:
        share = SHARE.parse(written)
    except ValueError as exc:
        raise Invalid(f"--shared-prefix: {exc}") from exc
    if share > 1:
        raise Invalid(f"--shared-prefix {written} must be at most 100%")
    return share


def _asked(rate: str | None, concurrency: int | None) -> Load | None:
    """The load that is asked for; None without a wish."""
    from orchestrator.api.quantities import RATE
    from orchestrator.core.verification.expected import Load

    if rate is not None and concurrency is not None:
        raise Invalid("--rate is for an open loop and --concurrency for a closed one; give one of them")
    if rate is None:
        return None if concurrency is None else Load(at_once=concurrency)
    try:
        per_s = RATE.parse(rate)
    except ValueError as exc:
        raise Invalid(f"--rate: {exc}") from exc
    if not 0 < per_s <= 10_000:  # noqa: PLR2004  one client sends no more
        raise Invalid(f"--rate {rate} must be more than nothing and at most 10000/s")
    return Load(rate_per_s=per_s)


def _demand(planned: Planned | None) -> Load:
    """The service's demand, as far as the plan says that it is carried."""
    from orchestrator.core.verification.expected import Load

    if planned is None:
        raise Invalid("without a plan nobody knows the demand; give --rate, such as 2/s, or --concurrency")
    wanted, carried = planned.rate_per_s, planned.carried_per_s
    if wanted > carried:
        say(f"the demand is {rate_for_people(wanted)}; what the plan carries is tried: {rate_for_people(carried)}")
    return Load(rate_per_s=min(wanted, carried))


def _sweep(planned: Planned | None, wanted: Wanted) -> list[tuple[Load, Wanted]]:
    """The documented points: from one request at once to all that run together, at two lengths of prompts."""
    from dataclasses import replace

    from orchestrator.core.verification.expected import Load

    slots, replicas = (planned.slots // planned.replicas, planned.replicas) if planned else (SLOTS, 1)
    sizes = sorted({*(size for size in SPREAD[slots >= MANY] if size <= slots), slots})
    most = planned.configuration.context_tokens - wanted.output_tokens - SPARE_TOKENS if planned else sys.maxsize
    lengths = sorted({wanted.input_tokens, max(wanted.input_tokens, min(LONGER * wanted.input_tokens, most))})
    points = [(length, size) for length in lengths for size in sizes]
    return [
        (Load(at_once=size * replicas), replace(wanted, input_tokens=length, seed=wanted.seed + number))
        for number, (length, size) in enumerate(points)
    ]
