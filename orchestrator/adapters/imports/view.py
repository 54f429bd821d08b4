"""An imported card with the figures that follow from it, as values for printing; and the card as YAML.

Called by `cli.models_import`.
"""

from __future__ import annotations

from typing import Any

import yaml

from orchestrator.adapters.imports.card import Imported
from orchestrator.api.load import load
from orchestrator.api.model import Model
from orchestrator.api.quantization import Quantization
from orchestrator.core.architecture import parameters
from orchestrator.core.cache import index_bytes_per_token, kv_bytes_per_token, state_bytes_per_sequence
from orchestrator.core.memory import weight_bytes

CACHE_BYTES = 2  # of one cached number in bf16
SHOWN: tuple[Quantization, ...] = ("bf16", "fp8", "w8a8", "w4a16", "int4")


def import_view(found: Imported) -> dict[str, Any]:
    """Figures and card; the keys are stable."""
    architecture = found.card.spec.architecture
    if architecture is None:
        raise ValueError("an imported card has an architecture")
    counted = parameters(architecture)
    return {
        "name": found.card.metadata.name,
        "family": found.card.spec.family,
        "licence": found.card.spec.licence.spdx,
        "totalParameters": counted.total,
        "declaredParameters": found.total,
        "activeParameters": counted.active,
        "activeParametersWithoutTables": counted.body,
        "kvBytesPerToken": kv_bytes_per_token(architecture, CACHE_BYTES),
        "indexBytesPerToken": index_bytes_per_token(architecture),
        "stateBytesPerSequence": state_bytes_per_sequence(architecture),
        "contextTokens": found.card.spec.context,
        "storedBytes": sum(found.size_bytes.values()) or None,
        "storedBytesByType": dict(sorted(found.size_bytes.items())),
        "weightBytes": {name: weight_bytes(architecture, name) for name in SHOWN},
        "notes": list(found.notes),
        "card": card_values(found.card),
    }


def card_values(card: Model) -> dict[str, Any]:
    """The card as it is written, without what says nothing."""
    values: dict[str, Any] = card.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {"apiVersion": card.api_version, "kind": card.kind} | values


def card_text(card: Model) -> str:
    """The card as YAML that our own loader reads back to the same card."""
    text = yaml.safe_dump(card_values(card), sort_keys=False, allow_unicode=False, width=100)
    (back,) = load(text, f"{card.metadata.name}.yaml")
    if back.document != card:
        raise ValueError(f"{card.metadata.name} does not survive being written down")
    return text
