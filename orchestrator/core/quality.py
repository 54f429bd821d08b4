"""Whether what was built keeps as much of the model as a student must keep, with both numbers. Pure.

A variant that is not built yet is not refused: building measures it, and the next plan knows. A published checkpoint
narrower than the organisation's own weights is refused, since nobody here measured what it lost. Called by
`orchestrator.core.configurations` and by the command line after a build.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.api.service import Quality as Floor
from orchestrator.api.service import Student, Tier
from orchestrator.core.asks import Ask
from orchestrator.core.checkpoints import Checkpoint, loss
from orchestrator.core.fit import Rejected, Why
from orchestrator.core.world import Artifact
from runtimes.contract import Measured, Quality

HINT = "allow a wider quantization, or lower the floor in `student.quality`"


def floor_of(tier: Tier) -> Floor | None:
    """What the tier must keep; only students have a floor."""
    return tier.quality if isinstance(tier, Student) else None


def too_poor(
    ask: Ask, checkpoint: Checkpoint, artifacts: Mapping[tuple[str, str], Artifact], subject: str
) -> Rejected | None:
    """Why a checkpoint is below the tier's floor; None when it is not, or when only building it will tell."""
    floor = floor_of(ask.tier)
    if floor is None:
        return None
    if checkpoint.name:
        if not loss(checkpoint.quantization, ask.model.spec.native):
            return None
        return Rejected(subject, Why.QUALITY, wanted(floor), f"no measurement of {checkpoint.name}", HINT)
    built = artifacts.get((ask.model_name, checkpoint.quantization))
    return below(floor, built.manifest.quality, subject) if built else None


def below(floor: Floor, measured: Measured, subject: str) -> Rejected | None:
    """None when a variant meets the floor, otherwise the reason with all numbers."""
    if not isinstance(measured, Quality):
        return Rejected(subject, Why.QUALITY, wanted(floor), kept(floor, measured), HINT)
    more = floor.perplexity is not None and measured.increase > floor.perplexity
    fewer = floor.agreement is not None and measured.greedy_agreement < floor.agreement
    if not (more or fewer):
        return None
    return Rejected(subject, Why.QUALITY, wanted(floor), kept(floor, measured), HINT)


def wanted(floor: Floor) -> str:
    """The floor in words."""
    parts = []
    if floor.perplexity is not None:
        parts.append(f"perplexity at most {100 * floor.perplexity:.4g}% above the reference")
    if floor.agreement is not None:
        parts.append(f"agreement at least {floor.agreement:.4g}")
    return " and ".join(parts)


def kept(floor: Floor, measured: Measured) -> str:
    """What was measured of the things the floor speaks of."""
    if not isinstance(measured, Quality):
        return "it does not predict the next token of a text"
    parts = []
    if floor.perplexity is not None:
        figures = f"{measured.perplexity:.4g} against {measured.reference_perplexity:.4g}"
        parts.append(f"{100 * measured.increase:+.2f}% ({figures})")
    if floor.agreement is not None:
        parts.append(f"agreement {measured.greedy_agreement:.4f} over {measured.tokens} tokens")
    return " and ".join(parts)
