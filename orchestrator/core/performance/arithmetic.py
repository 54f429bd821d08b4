"""In which type a chip computes for a quantization, how fast at most, and what nobody knows. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.api.document import Fact
from orchestrator.api.hardware import Dtype, HardwareProfile
from orchestrator.api.quantization import Quantization

WIDE: tuple[Dtype, ...] = ("bf16", "fp16", "fp32")  # weights alone are small: arithmetic is in the next wider type
ARITHMETIC: Mapping[Quantization, tuple[Dtype, ...]] = {
    "fp32": ("fp32",),
    "bf16": ("bf16",),
    "fp16": ("fp16",),
    "fp8": ("fp8",),
    "mxfp8": ("fp8",),
    "mxfp4-experts-fp8": ("fp8",),
    "w8a8": ("int8",),
    "w4a8": ("int8",),
    "w4a4": ("int4", "int8"),
    "mxfp4": ("fp4", "bf16"),
    "nvfp4": ("fp4", "bf16"),
}
EXPERT_ARITHMETIC: Mapping[Quantization, tuple[Dtype, ...]] = {
    "mxfp4-experts": ("fp4", "bf16"),
    "mxfp4-experts-fp8": ("fp4", "fp8"),
}


def compute_fact(profile: HardwareProfile, quantization: Quantization) -> tuple[Dtype, Fact[float]] | None:
    """The arithmetic that a quantization runs in and its peak; None when the chip has no such path."""
    wanted = ARITHMETIC.get(quantization, WIDE)
    order = tuple(reversed(wanted)) if profile.spec.kind == "cpu" else wanted
    return next(((dtype, profile.spec.peaks[dtype]) for dtype in order if dtype in profile.spec.peaks), None)


def compute_peak(profile: HardwareProfile, quantization: Quantization) -> float | None:
    """Operations per second the chip reaches at most for this quantization; None without a path or a figure."""
    found = compute_fact(profile, quantization)
    return found[1].value if found else None


def dense_peak(profile: HardwareProfile, quantization: Quantization) -> float | None:
    """The same where a chip without the path widens the weights as it reads them."""
    return compute_peak(profile, quantization) or attention_peak(profile)


def expert_peak(profile: HardwareProfile, quantization: Quantization) -> float | None:
    """The same in routed experts, which some quantizations store narrower than the rest."""
    wanted = EXPERT_ARITHMETIC.get(quantization)
    found = next((profile.spec.peaks[dtype] for dtype in wanted or () if dtype in profile.spec.peaks), None)
    return found.value if found and found.value is not None else dense_peak(profile, quantization)


def attention_peak(profile: HardwareProfile) -> float | None:
    """The same in attention proper, which is computed in a wide type whatever the weights are."""
    found = next((profile.spec.peaks[dtype] for dtype in WIDE if dtype in profile.spec.peaks), None)
    return found.value if found else None


def unknown(profile: HardwareProfile, quantization: Quantization) -> tuple[str, ...]:
    """Numbers a prediction needs and nobody has; the caller has checked that the chip has the arithmetic.

    A type without a figure is no slower than the next wider one, whose figure then counts.
    """
    found = compute_fact(profile, quantization)
    missing = ["bandwidth"] if profile.spec.bandwidth.value is None else []
    missing += [f"peak {found[0]}"] if found and dense_peak(profile, quantization) is None else []
    return tuple(missing)
