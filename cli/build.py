"""`headwater build`: source weights to a checked edge artifact, with progress."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.floors import judge, read_floors
from cli.output import Output, OutputOption, bytes_for_people, say, show
from runtimes.errors import Invalid, Refused, Unavailable

if TYPE_CHECKING:
    from orchestrator.api.kinds import Catalog
    from orchestrator.settings import Settings
    from runtimes.build.cache import BuildRequest

HUB, HUB_S = "hf://", 10.0


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(
        epilog="Examples: headwater build smollm2-135m-instruct; "
        "headwater build ./model.gguf --licence Apache-2.0 --quantization int8"
    )
    def build(
        model: Annotated[str, typer.Argument(help="A catalog model, a .gguf file, a model folder, or hf://org/name.")],
        quantization: Annotated[
            str | None,
            typer.Option(
                "--quantization",
                "-q",
                help="int4 or int8 for a model that generates text, int8 or fp32 for any other; the first without it.",
            ),
        ] = None,
        name: Annotated[
            str | None,
            typer.Option(help="Name of a model that is in no catalog; made from its file name when not given."),
        ] = None,
        licence: Annotated[str | None, typer.Option(help="SPDX id of a model that is in no catalog.")] = None,
        service: Annotated[
            Path | None,
            typer.Option(help="A file with services; says whether the artifact keeps what their students ask."),
        ] = None,
        output: OutputOption = Output.TABLE,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Say whether it is built; build nothing.")] = False,
    ) -> None:
        """Build an edge artifact; a second build of the same weights is found, not made."""
        from orchestrator import wiring
        from orchestrator.settings import read_settings
        from runtimes.build.cache import find_built

        settings = read_settings()
        catalog = wiring.catalog(settings)
        request = _request(settings, catalog, model, quantization, name, licence)
        floors = read_floors(service, request.model) if service else {}
        _say_terms(request, catalog)
        found = find_built(request, settings.artifacts)
        if dry_run:
            if not found:
                check_reachable(request, settings)
            wanted = {"model": request.model, "quantization": request.quantization, "path": found and str(found.path)}
            told = f"built already: {found.path}" if found else f"would build {request.model} {request.quantization}"
            show(wanted | {"built": bool(found)}, output, lambda: say(told))
            return
        built = found or run(request)
        value = {"path": str(built.path), "cached": built.cached, "manifest": built.manifest.model_dump()}
        verdicts = judge(floors, built.manifest.quality)
        show(value | ({"floors": verdicts} if service else {}), output, lambda: _tell(built, verdicts))


def _request(
    settings: Settings, catalog: Catalog, model: str, quantization: str | None, name: str | None, licence: str | None
) -> BuildRequest:
    """What is to be built: a model of the catalog, or weights with a licence."""
    from orchestrator.adapters.cards import name_from_source
    from orchestrator.api.spdx import parse
    from orchestrator.lookup import did_you_mean
    from runtimes.build.cache import BuildRequest

    known = catalog.models
    if model in known:
        if name or licence:
            raise Invalid(f"{model} is in the catalog, which says its name and licence; leave out --name and --licence")
        card = known[model].spec
        if not (card.source or card.hub):
            raise Invalid(f"the card of {model} says nowhere where its weights are; write `hub` or `source` into it")
        source = card.source or f"hf://{card.hub}"
        return BuildRequest(model, source, _quantization(quantization, source, settings), card.licence.spdx)
    if model.startswith(HUB) and not (name and licence):
        raise Invalid(f"{model}: give --name and --licence with an hf:// source")
    if not licence:
        if _is_path(model) and not Path(model).expanduser().exists():
            raise Invalid(f"source {model}: no such file or folder")
        if Path(model).expanduser().exists():
            raise Invalid(f"{model}: weights that are in no catalog; give their licence with --licence, as SPDX id")
        own = "weights of your own are a .gguf file, a folder or an hf:// source, with --licence"
        raise Invalid(f"{model[:80]!r} is in no catalog, and {own}{did_you_mean(model, known)}")
    try:
        parse(licence)
    except ValueError as exc:
        raise Invalid(f"--licence: {exc}") from exc
    if name in known:
        raise Invalid(f"--name {name} is a model of the catalog, and these are other weights; choose another name")
    named = name or name_from_source(model, licence, settings.artifacts)
    return BuildRequest(named, model, _quantization(quantization, model, settings), licence)


def _quantization(asked: str | None, source: str, settings: Settings) -> str:
    """What weights are built as; a hub's model that is not here yet is taken for one of text.

    Raises Refused when such a model is not built as asked.
    """
    from runtimes.build.cache import QUANTIZATIONS
    from runtimes.build.sources import check_source, resolve_source
    from runtimes.build.tasks import GENERATION, check_quantization, task_of, usual_quantization

    if asked is not None and asked not in QUANTIZATIONS:
        return asked  # whoever looks for it says what there is
    try:
        found = resolve_source(source, settings.artifacts)
        check_source(found)
        task = task_of(found.path)
    except (Invalid, Refused, Unavailable):  # the build says so, once the rest of the request is in order
        return asked or usual_quantization(GENERATION)
    check_quantization(task, asked or usual_quantization(task))
    return asked or usual_quantization(task)


def _say_terms(request: BuildRequest, catalog: Catalog) -> None:
    """What the licence asks of whoever uses the weights; a build alone has no policy that could refuse it."""
    from cli.plan import licence_line
    from orchestrator.api.model import Licence
    from orchestrator.core.explain import terms_view
    from orchestrator.core.policy import known_terms, stated

    card = catalog.models.get(request.model)
    licence = card.spec.licence if card else Licence(spdx=request.licence, status="unverified")
    found = stated(known_terms(licence, catalog))
    if found.duties or found.excluded or (card and found.notes):
        say(f"licence {licence_line(terms_view(found))}")


def _is_path(model: str) -> bool:
    """Whether this can only be meant as a place on this machine."""
    return "://" not in model and ("/" in model or model.endswith(".gguf"))


def check_reachable(request: BuildRequest, settings: Settings) -> None:
    """Raises Refused, with a way forward, when the weights are neither here nor given by a hub."""
    from runtimes.build.sources import resolve_source

    try:
        resolve_source(request.source, settings.artifacts)
    except Unavailable:
        if not _hub_gives(request.source.removeprefix(HUB)):
            own = f"`headwater build ./FILE.gguf --licence {shlex.quote(request.licence)}`"
            in_yaml = f"`model: {{source: ./FILE.gguf, licence: {request.licence}}}`"
            raise Refused(
                f"{request.model} cannot be built here: {request.source} is not on this machine and no hub answered; "
                f"with weights of your own, a .gguf file or a Hugging Face folder: {own}, or in a service {in_yaml}"
            ) from None


def _hub_gives(name: str) -> bool:
    from huggingface_hub import HfApi

    try:
        HfApi().model_info(name, timeout=HUB_S)
    except (OSError, ValueError):
        return False
    return True


def run(request: BuildRequest) -> Any:
    """Build with progress bars; says what is missing: the weights, or the build tools."""
    from orchestrator.settings import read_settings

    check_reachable(request, read_settings())
    try:
        from runtimes.build.build import build
    except ImportError as exc:
        hint = "install them with: pip install 'headwater[build]'"
        raise Unavailable(f"the build tools are not installed ({exc.name} is missing); {hint}") from exc
    bars = Bars()
    try:
        return build(request, read_settings().artifacts, bars)
    finally:
        bars.close()


class Bars:
    """One bar a phase on standard error; plain lines when nobody watches."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._watched = sys.stderr.isatty()
        columns = (
            TextColumn("{task.description:32}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f}%"),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns, console=Console(stderr=True), disable=not self._watched)
        self._tasks: dict[str, Any] = {}
        self._progress.start()

    def step(self, name: str, *, total: int, done: int) -> None:
        """A phase has come this far."""
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=total)
            if not self._watched:
                say(f"  {name}")
        self._progress.update(self._tasks[name], total=total, completed=done)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._progress.stop()


def _embedding(shape: Any, q: Any) -> str:
    return (
        f"embeddings of {shape.width} numbers, texts up to {shape.context_tokens} tokens; "
        f"against {q.reference}: mean cosine {q.mean_cosine:.4f}, lowest {q.lowest_cosine:.4f} over "
        f"{q.sentences} sentences"
    )


def _scores(shape: Any, q: Any) -> str:
    labels = f"{len(shape.labels)} labels" if len(shape.labels) > 1 else "a score"
    return (
        f"{labels} for texts up to {shape.context_tokens} tokens; against {q.reference}: scores differ by "
        f"{q.mean_difference:.4f}, at most {q.largest_difference:.4f}, same label {q.same_label:.1%} over "
        f"{q.pairs} pairs"
    )


def _speech(shape: Any, q: Any) -> str:
    languages = f"{len(shape.languages)} languages" if shape.languages else "English"
    return (
        f"writes down speech in {languages}; against {q.reference}, on a made-up sound: mean cosine "
        f"{q.mean_cosine:.4f}, greedy agreement {q.greedy_agreement:.1%} over {q.tokens} tokens"
    )


OTHER_TASKS: dict[str, Callable[[Any, Any], str]] = {
    "embedding": _embedding,
    "rerank": _scores,
    "classification": _scores,
    "transcription": _speech,
}


def _tell(built: Any, verdicts: list[dict[str, Any]]) -> None:
    m, q = built.manifest, built.manifest.quality
    typer.echo(f"{'found' if built.cached else f'built in {built.wall_s:.0f} s'}: {built.path}")
    resident, per_token = bytes_for_people(m.needs.resident_bytes), bytes_for_people(m.needs.kv_bytes_per_token)
    more = f" plus {per_token} per token" if m.needs.kv_bytes_per_token else ""
    size = bytes_for_people(m.total_bytes)
    typer.echo(f"{m.model} {m.quantization}, {m.licence}, {size} on disk, {resident} in memory{more}")
    if m.task in OTHER_TASKS:
        typer.echo(OTHER_TASKS[m.task](m.shape, q))
        return
    typer.echo(
        f"against {q.reference}: perplexity {q.perplexity:.2f} (reference {q.reference_perplexity:.2f}, "
        f"{q.increase:+.1%}), "
        f"greedy agreement {q.greedy_agreement:.1%} over {q.tokens} tokens"
    )
    for verdict in verdicts:
        met = "met" if verdict["met"] else "not met"
        typer.echo(f"{verdict['service']}: floor {met} (needs {verdict['needs']}, has {verdict['has']})")
