"""A plan in words and plain values: read `view` first, then `reasons`, `changes` and `answer`. Pure."""

from orchestrator.core.explain.view import escalation_view, placement_view, rejection_view, terms_view

__all__ = ["escalation_view", "placement_view", "rejection_view", "terms_view"]
