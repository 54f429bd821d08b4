"""How fast a replica will be. Pure; see `orchestrator.core.performance.serving`."""

from __future__ import annotations

from orchestrator.core.performance.serving import predict

__all__ = ["predict"]
