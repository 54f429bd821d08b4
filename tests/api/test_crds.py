"""The definitions on disk are those of the models, the API server takes them, and our files are resources."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from pydantic import BaseModel, TypeAdapter

from cli.crds import texts
from orchestrator.api.crds import RESOURCES, RULES, crd
from orchestrator.api.document import Part
from orchestrator.api.kinds import KINDS
from orchestrator.api.structural import structural

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "manifests" / "crds"
DOCUMENTS = sorted(path for folder in ("catalog", "examples") for path in (ROOT / "manifests" / folder).rglob("*.yaml"))
MIB = 1 << 20
ALLOWED = {
    "type",
    "description",
    "properties",
    "required",
    "items",
    "additionalProperties",
    "enum",
    "default",
    "format",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "x-kubernetes-validations",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
}

Schema = dict[str, Any]


def schema_of(kind: str) -> Schema:
    found: Schema = crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def within(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every schema in a schema, with where it is."""
    yield path, schema
    for name, each in schema.get("properties", {}).items():
        yield from within(each, f"{path}.{name}")
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if key in schema:
            yield from within(schema[key], path + mark)


def not_structural(schema: Schema) -> list[str]:
    """What the API server would refuse: the rules of structural schemas and of CustomResourceDefinitions."""
    wrong = []
    for path, each in within(schema):
        typed = each.get("type") in ("object", "array", "string", "integer", "number", "boolean")
        open_ended = each.get("x-kubernetes-preserve-unknown-fields") is True
        checks = {
            "has a key that is not allowed": not set(each) <= ALLOWED,
            "has no type": not typed and not (open_ended and path and "type" not in each),
            "is an array without items": each.get("type") == "array" and not isinstance(each.get("items"), dict),
            "has properties and additionalProperties": {"properties", "additionalProperties"} <= set(each),
            "forbids fields": each.get("additionalProperties") in (True, False),
            "requires what it does not have": not set(each.get("required", ())) <= set(each.get("properties", ())),
            "has a default that it refuses": "default" in each and not accepts(each, each["default"]),
            "is a map list without its keys": each.get("x-kubernetes-list-type") == "map"
            and not set(each["x-kubernetes-list-map-keys"]) <= set(each["items"]["required"]),
        }
        wrong += [f"{path} {what}" for what, so in checks.items() if so]
    metadata = schema["properties"]["metadata"]
    if set(metadata) != {"type", "properties"} or set(metadata["properties"]) != {"name"}:
        wrong.append(".metadata says more than the name")
    return wrong


def accepts(schema: Schema, value: Any) -> bool:
    return not list(jsonschema.Draft202012Validator(schema).iter_errors(value))


def no_unknown_fields(schema: Schema) -> Schema:
    """The schema as a strict client checks it."""
    strict = {key: value for key, value in schema.items() if not key.startswith("x-")}
    if "properties" in schema:
        strict["properties"] = {name: no_unknown_fields(each) for name, each in schema["properties"].items()}
        strict["additionalProperties"] = False
    for key in ("items", "additionalProperties"):
        if key in schema:
            strict[key] = no_unknown_fields(schema[key])
    return strict


def parts(annotation: Any) -> Iterator[type[BaseModel]]:
    """Every class in an annotation, and in its fields."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from parts(field.annotation)
    for argument in typing.get_args(annotation):
        yield from parts(argument)


def test_every_kind_has_a_definition() -> None:
    assert list(RESOURCES) == list(KINDS)


def test_generating_again_changes_nothing() -> None:
    found = {path.name: path.read_text() for path in SHIPPED.iterdir()}

    assert found == texts()


@pytest.mark.parametrize("kind", KINDS)
def test_a_definition_is_structural(kind: str) -> None:
    assert not_structural(schema_of(kind)) == []


@pytest.mark.parametrize("version", ["1.27", "1.32"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_definition_is_what_the_api_server_takes(kind: str, version: str) -> None:
    kubernetes_validate.validate(crd(kind), version, strict=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_definition_is_small_enough_for_etcd_and_for_an_annotation(kind: str) -> None:
    assert len(texts()[f"{RESOURCES[kind].plural}.yaml"].encode()) < MIB / 4


@pytest.mark.parametrize("kind", KINDS)
def test_every_property_has_a_description(kind: str) -> None:
    said = [path for path, each in within(schema_of(kind)) if each.get("description")]
    properties = [
        path for path, _ in within(schema_of(kind)) if not path.endswith(("[]", "{}")) and path != ".metadata"
    ]

    assert [path for path in properties if path not in said] == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_of_a_model_says_what_it_is(kind: str) -> None:
    """The class of a field says what such things are, not what this one is."""
    silent = {
        f"{part.__name__}.{name}"
        for part in parts(KINDS[kind])
        for name, field in part.model_fields.items()
        if not field.description
    }

    assert silent == set()


@pytest.mark.parametrize("kind", KINDS)
def test_columns_show_fields_that_exist(kind: str) -> None:
    known = {path for path, _ in within(schema_of(kind))} | {".metadata.creationTimestamp"}
    columns = [column.path for column in RESOURCES[kind].columns]
    plain = [path.replace("[0]", "[]").replace('[?(@.type=="Ready")]', "[]") for path in columns]

    assert [path for path in plain if path not in known] == []


def test_names_are_taken_once() -> None:
    taken = [name for kind in KINDS for name in crd(kind)["spec"]["names"]["shortNames"]]
    taken += [crd(kind)["spec"]["names"][form] for kind in KINDS for form in ("plural", "singular")]

    assert len(taken) == len(set(taken))


def test_every_rule_is_about_fields_of_a_model_and_reaches_a_definition() -> None:
    written = [
        rule["rule"]
        for kind in KINDS
        for _, each in within(schema_of(kind))
        for rule in each.get("x-kubernetes-validations", ())
    ]

    assert [rule for rules in RULES.values() for rule, _ in rules if rule not in written] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT / "manifests")))
def test_the_same_file_is_a_custom_resource(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        strict = no_unknown_fields(schema_of(document["kind"]))
        strict["properties"]["metadata"] = {"type": "object"}

        assert [error.message for error in jsonschema.Draft202012Validator(strict).iter_errors(document)] == []


def a_service(**spec: Any) -> dict[str, Any]:
    tier = {"model": "tiny"} | spec.pop("tier", {})
    demand = {"rate": "1/s", "input": 1, "output": 1} | spec.pop("demand", {})
    return {
        "apiVersion": "headwater.dev/v1alpha1",
        "kind": "ModelService",
        "metadata": {"name": "chat"},
        "spec": {"student": tier, "demand": demand} | spec,
    }


@pytest.mark.parametrize(
    ("document", "accepted"),
    [
        pytest.param(a_service(), True, id="a model of the catalog"),
        pytest.param(a_service(tier={"model": {"source": "./a", "licence": "MIT"}}), True, id="weights in no catalog"),
        pytest.param(a_service(tier={"model": {"source": "./a"}}), False, id="weights without a licence"),
        pytest.param(a_service(tier={"model": "No Name"}), False, id="a model that is no name"),
        pytest.param(a_service(tier={"context": 0}), False, id="no context"),
        pytest.param(a_service(demand={"rate": 40}), False, id="a rate without unit"),
        pytest.param(a_service(demand={"rate": "40 bananas"}), False, id="a rate in a strange unit"),
        pytest.param(a_service(escalation={"target": 0.9, "budget": "25%"}), True, id="shares of both forms"),
        pytest.param(a_service(escalation={"target": 1.5, "budget": "25%"}), False, id="a share above one"),
        pytest.param(a_service(escalation={"target": "much", "budget": "25%"}), False, id="a share that is a word"),
        pytest.param(a_service(demand={"input": 0}), False, id="an empty prompt"),
        pytest.param({**a_service(), "metadata": {"name": "a" * 64}}, False, id="a name that no file may have"),
    ],
)
def test_the_schema_says_yes_and_no_as_the_model_does(document: dict[str, Any], *, accepted: bool) -> None:
    assert accepts(schema_of("ModelService"), document) == accepted


@pytest.mark.parametrize("kind", KINDS)
def test_every_plain_number_with_a_fraction_is_a_share_or_says_otherwise(kind: str) -> None:
    """Other quantities are texts with a unit, so a schema takes a number for a share unless it is a double."""
    for part in parts(KINDS[kind]):
        properties = part.model_json_schema(by_alias=False)["properties"]
        for name, field in part.model_fields.items():
            written = json.dumps(properties[name])
            if '"number"' in written and '"double"' not in written:
                read = TypeAdapter(Annotated[field.annotation, field.description, *field.metadata]).validate_python
                assert read("25%") == 0.25


class Loop(Part):
    """Contains itself."""

    again: Loop | None = None


class Number(Part):
    """Lists or texts."""

    value: list[str] | str


@pytest.mark.parametrize(
    ("model", "message"),
    [
        pytest.param(Loop, "Loop contains itself", id="recursion"),
        pytest.param(Number, "no room|has room", id="a union"),
    ],
)
def test_what_no_structural_schema_can_say_is_refused(model: type[Part], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        structural(model, {})
