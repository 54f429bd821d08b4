"""The kinds a document can be, and the catalog they make together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from orchestrator.api.calibration import Calibration
from orchestrator.api.cluster import KubernetesProfile
from orchestrator.api.document import Part
from orchestrator.api.engine import Engine
from orchestrator.api.hardware import HardwareProfile
from orchestrator.api.model import Model
from orchestrator.api.service import ModelService
from orchestrator.api.site import Site

Document = ModelService | Site | Model | HardwareProfile | KubernetesProfile | Engine | Calibration

KINDS: Mapping[str, type[Part]] = {
    "ModelService": ModelService,
    "Site": Site,
    "Model": Model,
    "HardwareProfile": HardwareProfile,
    "KubernetesProfile": KubernetesProfile,
    "Engine": Engine,
    "Calibration": Calibration,
}


def as_json(document: Document) -> dict[str, Any]:
    """A document as JSON values, with the field names people write."""
    return document.model_dump(mode="json", by_alias=True)


def from_json(kind: str, text: str) -> Document:
    """A document from the JSON text of `as_json`. Raises KeyError or ValidationError for what another version wrote."""
    return cast(Document, KINDS[kind].model_validate_json(text))


@dataclass(frozen=True, slots=True)
class Catalog:
    """Models, chips, what Kubernetes does with them, engines, and what they were measured to reach, by name."""

    models: Mapping[str, Model] = field(default_factory=dict)
    profiles: Mapping[str, HardwareProfile] = field(default_factory=dict)
    engines: Mapping[str, Engine] = field(default_factory=dict)
    clusters: Mapping[str, KubernetesProfile] = field(default_factory=dict)
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)

    def with_documents(self, documents: Iterable[Document]) -> Catalog:
        """The catalog with these documents on top; services and sites are no part of it."""
        models, profiles = dict(self.models), dict(self.profiles)
        engines, clusters, calibrations = dict(self.engines), dict(self.clusters), dict(self.calibrations)
        for document in documents:
            match document:
                case Model():
                    models[document.metadata.name] = document
                case HardwareProfile():
                    profiles[document.metadata.name] = document
                case Engine():
                    engines[document.metadata.name] = document
                case KubernetesProfile():
                    clusters[document.metadata.name] = document
                case Calibration():
                    calibrations[document.metadata.name] = document
        return Catalog(models, profiles, engines, clusters, calibrations)

    def cluster_of(self, profile: HardwareProfile) -> KubernetesProfile | None:
        """What Kubernetes does with a chip, when somebody has written it down."""
        name = profile.spec.kubernetes
        return self.clusters.get(name) if name else None
