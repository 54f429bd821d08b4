"""A pydantic model's JSON schema as a structural schema of Kubernetes.

Pure. Called by `orchestrator.api.crds` only. A structural schema says the type of every value in one place, without
references. So definitions are written out where they are used, and these forms change:

- `T | None` is an optional property: absent says what null does, and the API server drops a written null.
- A share (`25%` or 0.25; other plain numbers say that they are doubles) and a value that is text or a mapping have more
  than one type. The API server knows one such case, whole number or text, and 0.25 is neither. They get no type and
  keep unknown fields; bounds still hold for numbers, patterns for texts and required fields for mappings.
- A mapping with a fixed set of keys is one with any keys and a rule about its keys.
- Unknown fields cannot be forbidden: the API server drops them, or refuses them when asked to be strict.
- Texts, lists and mappings that the models leave unbounded get a generous bound, so that what a rule costs is bounded.
- A default is written where it says something; an empty text, 0 and false say what absence says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from orchestrator.api.quantities import PLAIN, SHARE

Schema = dict[str, Any]
Rules = Mapping[str, tuple[tuple[str, str], ...]]

MOST_TEXT = 4096
MOST_ITEMS = 1000
MOST_KEYS = 256
KEPT = (
    "format",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
)
SHARE_SCHEMA: Schema = {
    "x-kubernetes-preserve-unknown-fields": True,
    "minimum": 0,
    "maximum": 1,
    "pattern": rf"^[0-9]+(\.[0-9]+)?({'|'.join(SHARE.units)})$",
    "maxLength": 64,
}


def structural(model: type[BaseModel], rules: Rules) -> Schema:
    """The schema of a model.

    Args:
        model: the class; every field of it and of the classes in it should have a description.
        rules: by the name of a class: CEL expressions that must be true of it, with a message each.

    Raises:
        ValueError: the model is recursive, or has a type that no structural schema can express.
    """
    written = model.model_json_schema(by_alias=True)
    return _Writer(written.get("$defs", {}), rules).write(written, ())


def _plain(schema: Schema) -> Schema:
    """A number that stands for itself."""
    return {key: schema[key] for key in (*PLAIN, "minimum", "maximum") if key in schema}


class _Writer:
    """Writes schemas out with the definitions of one model at hand."""

    def __init__(self, definitions: Mapping[str, Schema], rules: Rules) -> None:
        self._definitions = definitions
        self._rules = rules

    def write(self, schema: Schema, inside: tuple[str, ...]) -> Schema:
        """One schema; `inside` names the definitions that are being written out."""
        schema, inside = self._resolved(schema, inside)
        found: Schema = {}
        if "description" in schema:
            found["description"] = _described(schema)
        branches = schema.get("anyOf")
        if branches is not None:
            return found | self._either([self._resolved(branch, inside) for branch in branches])
        if schema.get("type") == "number":
            return found | (SHARE_SCHEMA if schema.get("format") != PLAIN["format"] else _plain(schema))
        kind = schema.get("type")
        if kind not in ("object", "array", "string", "integer", "boolean"):
            raise ValueError(f"a structural schema cannot say {sorted(schema)}")
        found["type"] = kind
        found |= {key: schema[key] for key in KEPT if key in schema}
        if "const" in schema:
            found["enum"] = [schema["const"]]
        if "exclusiveMinimum" in schema:
            found["minimum"] = schema["exclusiveMinimum"] + 1  # whole numbers only
        if _says_something(schema.get("default")):
            found["default"] = schema["default"]
        return found | self._within(kind, schema, found, inside)

    def _resolved(self, schema: Schema, inside: tuple[str, ...]) -> tuple[Schema, tuple[str, ...]]:
        """The schema without a reference and without null; what stands beside a reference wins over what it names."""
        while True:
            if "$ref" in schema:
                name = schema["$ref"].removeprefix("#/$defs/")
                if name in inside:
                    raise ValueError(f"{name} contains itself; a structural schema ends somewhere")
                inside = (*inside, name)
                schema = self._definitions[name] | {key: schema[key] for key in schema.keys() - {"$ref", "title"}}
                continue
            branches = [branch for branch in schema.get("anyOf", ()) if branch != {"type": "null"}]
            if len(branches) != 1:
                return ({**schema, "anyOf": branches} if branches else schema), inside
            schema = branches[0] | {key: schema[key] for key in schema.keys() - {"anyOf", "title"}}

    def _within(self, kind: str, schema: Schema, found: Schema, inside: tuple[str, ...]) -> Schema:
        """What a type holds: its properties, its items, its bound."""
        if kind == "object":
            return self._object(schema, inside)
        if kind == "array":
            keys = schema.get("x-kubernetes-list-map-keys")
            listed: Schema = {"x-kubernetes-list-type": "atomic"}
            if keys is not None:
                listed = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys}
            most = {} if "maxItems" in found else {"maxItems": MOST_ITEMS}
            return most | listed | {"items": self.write(schema["items"], inside)}
        if kind == "string" and not {"maxLength", "enum", "format"} & found.keys():
            return {"maxLength": MOST_TEXT}
        return {}

    def _object(self, schema: Schema, inside: tuple[str, ...]) -> Schema:
        """Properties of a class, or a mapping from text."""
        if "properties" not in schema:
            keys = schema.get("propertyNames", {}).get("enum")
            found: Schema = {"maxProperties": len(keys) if keys else MOST_KEYS}
            found["additionalProperties"] = self.write(schema["additionalProperties"], inside)
            if keys:
                rule = f"self.all(key, key in [{', '.join(repr(key) for key in keys)}])"
                found["x-kubernetes-validations"] = [{"rule": rule, "message": f"keys are {', '.join(keys)}"}]
            return found
        found = {"required": schema["required"]} if schema.get("required") else {}
        found["properties"] = {name: self.write(each, inside) for name, each in schema["properties"].items()}
        rules = self._rules.get(schema.get("title", ""), ())
        if rules:
            found["x-kubernetes-validations"] = [{"rule": rule, "message": message} for rule, message in rules]
        return found

    def _either(self, branches: list[tuple[Schema, tuple[str, ...]]]) -> Schema:
        """Text or mapping: no type, and what must hold for each."""
        found: Schema = {"x-kubernetes-preserve-unknown-fields": True}
        for schema, inside in branches:
            written = self.write(schema, inside)
            if written.pop("type", None) not in ("string", "object") or found.keys() & written.keys():
                raise ValueError("a structural schema has room for text or one mapping, not for other alternatives")
            written.pop("description", None)
            found |= written
        return found


def _described(schema: Schema) -> str:
    """The description as a text of one line, with how a quantity is written."""
    text = " ".join(schema["description"].split())
    examples = schema.get("examples", [])
    return f"{text}, such as {examples[0]}" if examples and examples[0] not in text else text


def _says_something(default: Any) -> bool:
    return isinstance(default, bool | int | str) and bool(default)
