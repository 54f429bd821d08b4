"""What can be done without a controller: load files, plan, say what must be built, render manifests.

Called by the CLI. The decisions are the core's; this only brings files, catalog and artifacts together.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator import wiring
from orchestrator.adapters.artifacts import DiskArtifacts
from orchestrator.api.kinds import Catalog, Document, as_json
from orchestrator.api.load import MAX_BYTES, Loaded, load_bytes
from orchestrator.api.model import Model
from orchestrator.api.references import check_references
from orchestrator.api.service import ModelService, Source
from orchestrator.api.site import Site
from orchestrator.core.placement.place import place
from orchestrator.core.placement.result import Placed, Placement
from orchestrator.core.policy import check, refusals
from orchestrator.core.world import World
from orchestrator.errors import HeadwaterError, InvalidSpec, Problem, Refused
from orchestrator.settings import Settings
from runtimes.build.cache import BuildRequest
from runtimes.contract import MANIFEST_FILE

RUN_HERE = frozenset({"ray"})


@dataclass(frozen=True, slots=True)
class Desk:
    """Files, catalog and artifacts on one table."""

    written: tuple[Loaded, ...]
    kept: tuple[Document, ...]  # by a running controller; what is written replaces them
    cards: tuple[Model, ...]  # of weights that are in no catalog; the services name them
    catalog: Catalog
    settings: Settings

    @property
    def services(self) -> tuple[ModelService, ...]:
        """The services of the files."""
        return tuple(one.document for one in self.written if isinstance(one.document, ModelService))

    @property
    def sites(self) -> Mapping[str, Site]:
        """The sites of the files, and those that the controller keeps."""
        documents = (*self.kept, *(one.document for one in self.written))
        return {document.metadata.name: document for document in documents if isinstance(document, Site)}

    def as_text(self) -> str:
        """All documents as one YAML text with a document a line, as the controller takes it; cards come last."""
        documents: list[Document] = [*(one.document for one in self.written), *self.cards]
        lines = (json.dumps(as_json(one), ensure_ascii=False) for one in documents)
        return "\n---\n".join(lines) + "\n"

    def place_of(self, line: int) -> str:
        """File and line where the document on a line of `as_text` was written; empty for a card."""
        index = (line - 1) // 2
        return f"{self.written[index].file}:{self.written[index].line}" if 0 <= index < len(self.written) else ""

    def plan(self) -> Placement:
        """Place everything that is written and kept on empty pools, with what is built now."""
        services, world = self.wanted()
        return place(services, self.catalog, world)

    def wanted(self) -> tuple[tuple[ModelService, ...], World]:
        """What is planned, by name, and where: empty pools, with what is built now."""
        services = {one.metadata.name: one for one in (*self.kept, *self.services) if isinstance(one, ModelService)}
        artifacts = DiskArtifacts(self.settings.artifacts).built()
        ordered = tuple(services[name] for name in sorted(services))
        return ordered, World(sites=self.sites, artifacts=artifacts)

    def check_licences(self) -> None:
        """Raises Refused with every tier that its policy leaves nowhere to run, before anything is built or written."""
        lines: list[str] = []
        for service in self.services:
            for no in refusals(check(service, self.catalog, self.sites)):
                there = f" at {no.site}" if no.site else ""
                lines.append(str(no.rejected(f"{service.metadata.name}/{no.tier} {no.model}{there}")))
        if lines:
            raise Refused("\n".join(lines))

    def to_build(self, placement: Placement) -> tuple[tuple[str, str], ...]:
        """(model, quantization) of every placed tier of these files that is to run here and is not built yet."""
        built = DiskArtifacts(self.settings.artifacts).built()
        ours = {service.metadata.name for service in self.services}
        placed = [tier for tier in placement.tiers if isinstance(tier, Placed) and tier.service in ours]
        groups = [group for tier in placed for group in tier.groups]
        options = [group.option.configuration for group in groups if not group.option.checkpoint]
        here = {(c.model, c.quantization) for c in options if self.sites[c.pool.site].spec.fleet in RUN_HERE}
        return tuple(sorted(here - built.keys()))

    def build_request(self, model: str, quantization: str) -> BuildRequest:
        """What to build for a model of the catalog or of these files."""
        card = self.catalog.models[model].spec
        return BuildRequest(model, card.source or f"hf://{card.hub}", quantization, card.licence.spdx)

    def render(self, placement: Placement) -> dict[str, tuple[dict[str, Any], ...]]:
        """Kubernetes objects of every placed tier on a site that Kubernetes may run, by file name.

        Raises Refused when a recipe cannot do what the plan wants.
        """
        from orchestrator.adapters.kubernetes.artifacts import Built  # noqa: PLC0415  plan does not need it
        from orchestrator.adapters.kubernetes.bundle import Known, bundle  # noqa: PLC0415  the same

        found = DiskArtifacts(self.settings.artifacts).built()
        built = {
            key: Built(one.manifest, (Path(one.path) / MANIFEST_FILE).read_text(encoding="utf-8"))
            for key, one in found.items()
        }
        services = {one.metadata.name: one for one in self.services}
        return bundle(placement, Known(services, self.sites, self.catalog, built))


def open_desk(
    paths: Iterable[Path], settings: Settings, kept: tuple[Document, ...] = (), *, weights: bool = True
) -> Desk:
    """Read and check files, beside what a controller keeps. Raises InvalidSpec with every problem of every file.

    Weights that are in no catalog get a card from their files; without `weights` they stay as the user named them.
    """
    loaded: list[Loaded] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            loaded.extend(load_bytes(_read(path), str(path)))
        except InvalidSpec as exc:
            problems.extend(exc.problems)
    catalog = wiring.catalog(settings).with_documents(kept)
    problems.extend(check_references(loaded, catalog, [one.metadata.name for one in kept if isinstance(one, Site)]))
    cards: dict[str, Model] = {}
    written = [_with_names(one, cards, settings.artifacts, problems) for one in loaded] if weights else loaded
    if problems:
        raise InvalidSpec(problems)
    known = catalog.with_documents([*(one.document for one in written), *cards.values()])
    return Desk(tuple(written), kept, tuple(cards.values()), known, settings)


def _with_names(one: Loaded, cards: dict[str, Model], store: Path, problems: list[Problem]) -> Loaded:
    """The document with every source replaced by the name of its card; cards and problems are added."""
    service = one.document
    if not isinstance(service, ModelService):
        return one
    named: dict[str, Any] = {}
    for tier, source in _sources(service):
        from orchestrator.adapters.cards import card_from_source  # noqa: PLC0415  most services name the catalog

        try:
            card = card_from_source(_beside(one.file, source.source), source.licence, store)
        except HeadwaterError as exc:
            problems.append(one.problem(("spec", tier, "model", "source"), str(exc)))
            continue
        cards[card.metadata.name] = card
        wanted = service.spec.student if tier == "student" else service.spec.teacher
        named[tier] = wanted and wanted.model_copy(update={"model": card.metadata.name})
    spec = service.spec.model_copy(update=named)
    return replace(one, document=service.model_copy(update={"spec": spec}))


def _sources(service: ModelService) -> Iterator[tuple[str, Source]]:
    for name, tier in (("student", service.spec.student), ("teacher", service.spec.teacher)):
        if tier is not None and isinstance(tier.model, Source):
            yield name, tier.model


def _beside(file: str, source: str) -> str:
    """A path is meant from the folder of the file that names it."""
    return source if "://" in source else str(Path(file).parent / Path(source).expanduser())


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as exc:
        raise InvalidSpec([Problem(str(path), 0, "", f"{exc.strerror or exc}; give a file that can be read")]) from exc
    if len(content) > MAX_BYTES:
        raise InvalidSpec([Problem(str(path), 0, "", "larger than 1 MiB; give YAML text with services and sites")])
    return content
