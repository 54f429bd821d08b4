"""Node objects from a file, as `kubectl get nodes -o json` or `-o yaml` writes it.

Pure: text in, values out. Called by the command line. What the objects mean is `nodes` beside this file.
"""

from __future__ import annotations

import json
from typing import Any

import yaml

from orchestrator.adapters.kubernetes.surroundings import KINDS
from orchestrator.errors import Invalid

MOST_BYTES = 64 << 20  # a large cluster: its nodes list their images
_DEEPEST = 50
_MOST_YAML_BYTES = 8 << 20  # reading YAML takes a thousand times as long as JSON


def nodes_from_text(text: str, where: str) -> list[Any]:
    """The node objects of a list, of one node, or of several documents in one.

    Args:
        text: JSON or YAML.
        where: names the file in messages.

    Raises:
        Invalid: the text is neither, is too long, or holds no nodes.
    """
    found = [item for document in _documents(text, where) for item in _items(document)]
    if not found:
        raise Invalid(f"{where} holds no nodes; write it with `kubectl get nodes -o json`")
    return found


def _documents(text: str, where: str) -> list[Any]:
    if text.lstrip()[:1] in {"{", "["}:
        try:
            return [json.loads(text)]
        except (ValueError, RecursionError) as error:
            raise Invalid(f"{where} is no JSON: {_short(error)}") from error
    if len(text) > _MOST_YAML_BYTES:
        raise Invalid(f"{where} has more than {_MOST_YAML_BYTES >> 20} MiB; write it with `kubectl get nodes -o json`")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_depth(text, where, loader)
        return list(yaml.load_all(text, Loader=loader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Invalid(f"{where} is no YAML: {_short(error)}") from error


def _check_depth(text: str, where: str, loader: Any) -> None:
    """The fast loader recurses without a bound of its own: what is nested too deep must not reach it."""
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise Invalid(f"{where} is nested deeper than {_DEEPEST} levels; no list of nodes is")


def _items(document: Any) -> list[Any]:
    if isinstance(document, list):
        return document
    if not isinstance(document, dict):
        return []
    items = document.get("items")
    if isinstance(items, list):
        return items
    return [document] if document.get("kind") in KINDS else []


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
