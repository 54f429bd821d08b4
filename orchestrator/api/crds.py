"""CustomResourceDefinitions of all kinds, generated from the pydantic models: one schema for file, resource and model.

Pure. Called by `headwater crds`, which writes them under `manifests/crds`. How a JSON schema of pydantic becomes a
structural schema of Kubernetes is `orchestrator.api.structural`; here stands what a schema does not say: names, scope,
printer columns, status, and the rules between fields that the API server checks too.

The rules of `RULES` repeat the validators of the models of the same name, in CEL, as far as CEL can see the fields.
What only the models know (a rate above zero, a name that must mean something) the operator reports as a condition.
Metadata is left to Kubernetes but for the name, which is as short as in a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.api.document import API_VERSION, Metadata, Part
from orchestrator.api.kinds import KINDS
from orchestrator.api.status import ServiceStatus, SiteStatus
from orchestrator.api.structural import Schema, structural

GROUP, VERSION = API_VERSION.split("/")
CATEGORY = "headwater"  # `kubectl get headwater` lists all kinds

API_VERSION_TEXT = f"version of the schema; write {API_VERSION}"

_ATTENTIONS = ("grouped", "latent", "compressed", "linear")
_GIVEN = " + ".join(f"(has(self.{name}) ? 1 : 0)" for name in _ATTENTIONS)

RULES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "ModelServiceSpec": (
        ("has(self.student) || has(self.teacher)", "give a student, a teacher, or both"),
        (
            "!has(self.escalation) || (has(self.student) && has(self.teacher))",
            "escalation needs both a student and a teacher",
        ),
    ),
    "Replicas": (("self.min <= self.max", "min is more than max"),),
    "GroupedAttention": (("self.heads % self.kvHeads == 0", "heads is not a multiple of kvHeads"),),
    "Experts": (("self.perToken <= self.routed", "perToken is more than the routed experts"),),
    "Layers": (
        (f"{_GIVEN} <= 1", "give one of grouped, latent, compressed and linear"),
        (
            "!(has(self.dense) && has(self.experts))",
            "give dense or experts; a dense part beside experts is experts.dense",
        ),
        (
            f"{_GIVEN} == 1 || has(self.dense) || has(self.experts)",
            "give an attention (grouped, latent, compressed, linear), a dense or an experts part",
        ),
    ),
    "Refuses": (("has(self.quantization) || has(self.format)", "give quantization, format, or both"),),
}
"""By the name of a model: CEL expressions that must be true of it, each with what to do when one is not."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`; those that are not `narrow` show with `-o wide` only."""

    name: str
    path: str
    type: str = "string"
    narrow: bool = True

    def as_dict(self) -> dict[str, Any]:
        """As the API server takes it."""
        column: dict[str, Any] = {"name": self.name, "type": self.type, "jsonPath": self.path}
        return column if self.narrow else column | {"priority": 1}


AGE = Column("Age", ".metadata.creationTimestamp", "date")
READY = Column("Ready", '.status.conditions[?(@.type=="Ready")].status')
WHY = Column("Why", '.status.conditions[?(@.type=="Ready")].message', narrow=False)


@dataclass(frozen=True, slots=True)
class Resource:
    """How one kind appears in Kubernetes."""

    plural: str
    short: str
    columns: tuple[Column, ...]
    status: type[Part] | None = None  # with one, the kind lives in a namespace; without, it is part of the catalog


RESOURCES: Mapping[str, Resource] = {
    "ModelService": Resource(
        "modelservices",
        "msvc",
        (
            Column("Student", ".spec.student.model"),
            Column("Teacher", ".spec.teacher.model"),
            Column("Rate", ".spec.demand.rate"),
            READY,
            Column("URL", ".status.url", narrow=False),
            WHY,
            AGE,
        ),
        ServiceStatus,
    ),
    "Site": Resource(
        "sites",
        "hwsite",
        (
            Column("Role", ".spec.role"),
            Column("Region", ".spec.region"),
            Column("Fleet", ".spec.fleet"),
            READY,
            Column("Chips", ".status.chips", "integer", narrow=False),
            Column("Free", ".status.freeChips", "integer", narrow=False),
            WHY,
            AGE,
        ),
        SiteStatus,
    ),
    "Model": Resource(
        "models",
        "mdl",
        (
            Column("Family", ".spec.family"),
            Column("Licence", ".spec.licence.spdx"),
            Column("Context", ".spec.context", "integer"),
            Column("Native", ".spec.native"),
            Column("Organisation", ".spec.organisation", narrow=False),
            Column("Confidence", ".spec.confidence", narrow=False),
            AGE,
        ),
    ),
    "HardwareProfile": Resource(
        "hardwareprofiles",
        "hwp",
        (
            Column("Vendor", ".spec.vendor"),
            Column("Kind", ".spec.kind"),
            Column("Memory", ".spec.memory.value"),
            Column("Bandwidth", ".spec.bandwidth.value", narrow=False),
            Column("Kubernetes", ".spec.kubernetes", narrow=False),
            AGE,
        ),
    ),
    "KubernetesProfile": Resource(
        "kubernetesprofiles",
        "kprof",
        (
            Column("Unit", ".spec.unit"),
            Column("Resource", ".spec.resources[0].name"),
            Column("Plugin", ".spec.resources[0].plugin", narrow=False),
            AGE,
        ),
    ),
    "Engine": Resource(
        "engines",
        "eng",
        (
            Column("Program", ".spec.program"),
            Column("Recipe", ".spec.recipe"),
            Column("Image", ".spec.image", narrow=False),
            AGE,
        ),
    ),
    "Calibration": Resource(
        "calibrations",
        "cal",
        (
            Column("Engine", ".spec.engine"),
            Column("Chip", ".spec.chip"),
            Column("Model", ".spec.model"),
            Column("Rows", ".spec.fittedOn.rows", "integer"),
            AGE,
        ),
    ),
}


def crd(kind: str) -> dict[str, Any]:
    """The CustomResourceDefinition of a kind, ready to be applied. Raises KeyError for what is no kind."""
    model, resource = KINDS[kind], RESOURCES[kind]
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema(model, resource.status)},
    }
    if resource.status is not None:
        version["subresources"] = {"status": {}}
    version["additionalPrinterColumns"] = [column.as_dict() for column in resource.columns]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{resource.plural}.{GROUP}",
            "labels": {"app.kubernetes.io/name": "headwater", "app.kubernetes.io/component": "crds"},
        },
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": resource.plural,
                "singular": kind.lower(),
                "shortNames": [resource.short],
                "categories": [CATEGORY],
            },
            "scope": "Namespaced" if resource.status is not None else "Cluster",
            "versions": [version],
        },
    }


def schema(model: type[Part], status: type[Part] | None) -> Schema:
    """The structural schema of a kind's documents."""
    whole = structural(model, RULES)
    named = structural(Metadata, RULES)["properties"]["name"]
    properties: Schema = {
        "apiVersion": {"description": API_VERSION_TEXT, "type": "string"},
        "kind": {"description": f"write {model.__name__}", "type": "string"},
        "metadata": {"type": "object", "properties": {"name": named}},
        "spec": whole["properties"]["spec"],
    }
    if status is not None:
        properties["status"] = structural(status, RULES)
    return {
        "description": whole["description"],
        "type": "object",
        "required": ["spec"],
        "properties": properties,
    }
