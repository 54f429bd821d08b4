"""Builders that give every field a boring default, so that a case shows only what matters. Small on purpose.

Called by all tests; no fixtures here. The chip: 100 GB/s and 10 TFLOPS. The model: 2 layers of 64.
"""

from __future__ import annotations

from typing import Any

from orchestrator.adapters.memory import MemoryArtifacts, MemoryFleet, MemoryRouter, MemoryStore
from orchestrator.api.architecture import Architecture
from orchestrator.api.calibration import Calibration
from orchestrator.api.cluster import KubernetesProfile
from orchestrator.api.engine import Engine
from orchestrator.api.hardware import HardwareProfile
from orchestrator.api.kinds import Catalog
from orchestrator.api.model import Model
from orchestrator.api.service import ModelService
from orchestrator.api.site import Site
from orchestrator.core.world import Artifact, World
from orchestrator.ports import Outside
from runtimes.contract import (
    ArtifactManifest,
    DecoderShape,
    FileEntry,
    Needs,
    Phase,
    Quality,
    ReplicaReport,
    ReplicaSpec,
    Source,
)

API = "headwater.dev/v1alpha1"
MIB = 1 << 20
GIB = 1 << 30
SHA = "0" * 64


def an_architecture(
    *,
    layers: int = 2,
    intermediate_size: int = 128,
    heads: int = 4,
    kv_heads: int = 2,
    head_dim: int = 16,
    experts: dict[str, Any] | None = None,
    **fields: Any,
) -> Architecture:
    """Equal layers of grouped attention with a dense part, or with experts."""
    attention = {"heads": heads, "kv_heads": kv_heads, "head_dim": head_dim}
    after = {"experts": experts} if experts else {"dense": {"intermediate_size": intermediate_size}}
    return Architecture.model_validate(
        {"hidden_size": 64, "vocabulary": 1000, "tied_embeddings": True}
        | {"layers": [{"count": layers, "grouped": attention} | after]}
        | fields
    )


def a_model(
    name: str = "tiny", *, licence: str = "Apache-2.0", dims: dict[str, Any] | None = None, **spec: Any
) -> Model:
    fields = {
        "family": "tiny",
        "organisation": "lab",
        "licence": {"spdx": licence, "status": "verified"},
        "hub": f"lab/{name}",
        "architecture": an_architecture(**(dims or {})),
        "context": 4096,
        "native": "bf16",
        "published": {"total": 1000},
    }
    return Model.model_validate(
        {"api_version": API, "kind": "Model", "metadata": {"name": name}, "spec": fields | spec}
    )


def a_profile(name: str = "box", *, kind: str = "cpu", memory: str = "4GiB", **spec: Any) -> HardwareProfile:
    cpu = kind == "cpu"
    peaks = {"fp32": "100GFLOPS"} if cpu else {"bf16": "10TFLOPS", "int8": "20TOPS"}
    fields = {
        "vendor": "lab",
        "family": "lab",
        "kind": kind,
        "memory": {"value": memory, "status": "vendor"},
        "bandwidth": {"value": "10GB/s" if cpu else "100GB/s", "status": "vendor"},
        "peaks": {dtype: {"value": value, "status": "vendor"} for dtype, value in peaks.items()},
        "cores": 2 if cpu else None,
        "engines": ("edge",) if cpu else ("vllm",),
    }
    return HardwareProfile.model_validate(
        {"api_version": API, "kind": "HardwareProfile", "metadata": {"name": name}, "spec": fields | spec}
    )


def reads(*quantizations: str, **fields: Any) -> list[dict[str, Any]]:
    """What the edge engine or vLLM reads in each quantization."""
    formats = {"int4": "onnx", "int8": "onnx", "bf16": "plain", "fp16": "plain", "fp8": "fp8", "w8a8": "modelslim"}
    return [{"quantization": name, "format": formats[name]} | fields for name in quantizations]


def an_engine(name: str = "edge", **spec: Any) -> Engine:
    edge = name == "edge"
    fields = {
        "program": name,
        "recipe": "edge" if edge else "vllm",
        "dtypes": ["fp32"] if edge else ["bf16"],
        "reads": reads("int4", "int8") if edge else reads("bf16", "w8a8"),
    }
    return Engine.model_validate(
        {"api_version": API, "kind": "Engine", "metadata": {"name": name}, "spec": fields | spec}
    )


FACTORS = {
    **dict.fromkeys(("weights", "narrow", "experts", "cache", "compute", "expert_compute", "attention"), 0.5),
    **dict.fromkeys(("layer", "expert_layer", "sequence", "first"), "0.01us"),
    "link": 0.7,
    "exchange": "10us",
    "step": "1ms",
    "mixing": 1,
    "queue": 1,
}
BANDS = {name: {"low": 0.625, "high": 1.25} for name in ("tpot", "ttft", "throughput")}


def a_calibration(name: str = "all", **spec: Any) -> Calibration:
    """Half of every peak, a millisecond beside; measurements lie between 0.625 and 1.25 of it."""
    factors = FACTORS | spec.pop("factors", {})
    fields = {"factors": factors, "spread": BANDS, "elsewhere": BANDS, "fitted_on": {"rows": 0}}
    return Calibration.model_validate(
        {"api_version": API, "kind": "Calibration", "metadata": {"name": name}, "spec": fields | spec}
    )


def a_cluster(name: str = "npu", **spec: Any) -> KubernetesProfile:
    fields = {"resources": [{"plugin": "lab", "name": "lab/npu"}]}
    return KubernetesProfile.model_validate(
        {"api_version": API, "kind": "KubernetesProfile", "metadata": {"name": name}, "spec": fields | spec}
    )


def a_catalog(*documents: Model | HardwareProfile | KubernetesProfile | Engine | Calibration) -> Catalog:
    """`tiny` on `box` with `edge`, and on accelerator `npu` with `vllm`; these documents on top."""
    chips = a_profile(), a_profile("npu", kind="npu", memory="64GiB")
    shipped = (a_model(), *chips, an_engine(), an_engine("vllm"), a_calibration())
    return Catalog().with_documents((*shipped, *documents))


def a_pool(profile: str = "box", *, nodes: int = 1, chips: int = 1, price: str = "1/h") -> dict[str, Any]:
    return {"profile": profile, "nodes": nodes, "chips": chips, "price": price}


def a_site(name: str = "lab", *pools: dict[str, Any], fleet: str = "ray", **spec: Any) -> Site:
    fields = {"role": "edge", "region": "cn-east", "fleet": fleet, "pools": pools or (a_pool(),)}
    return Site.model_validate({"api_version": API, "kind": "Site", "metadata": {"name": name}, "spec": fields | spec})


def a_tier(model: str = "tiny", quantization: tuple[str, ...] = ("int4",), **fields: Any) -> dict[str, Any]:
    return {"model": model, "quantization": quantization, "context": 256} | fields


def a_service(
    name: str = "chat", *, rate: str = "1/h", tokens: tuple[int, int] = (16, 16), **spec: Any
) -> ModelService:
    """A student on the edge that one replica carries, unless told otherwise."""
    demand = {"rate": rate, "input": tokens[0], "output": tokens[1]}
    tiers = {} if "student" in spec or "teacher" in spec else {"student": a_tier()}
    return ModelService.model_validate(
        {
            "api_version": API,
            "kind": "ModelService",
            "metadata": {"name": name},
            "spec": {"demand": demand} | tiers | spec,
        }
    )


def an_artifact(
    model: str = "tiny", quantization: str = "int4", *, resident: int = 100 * MIB, file: str = SHA
) -> Artifact:
    manifest = ArtifactManifest(
        model=model,
        quantization=quantization,
        licence="Apache-2.0",
        source=Source(kind="gguf", name="tiny.gguf", sha256=SHA, size_bytes=1),
        shape=DecoderShape(layers=2, kv_heads=2, head_dim=16, vocabulary=1000, context_tokens=4096, eos_token_ids=(0,)),
        needs=Needs(weights_bytes=1 * MIB, resident_bytes=resident, kv_bytes_per_token=512),
        quality=Quality(reference="fp32", tokens=100, perplexity=10, reference_perplexity=10, greedy_agreement=1),
        files={"model.onnx": FileEntry(sha256=file, size_bytes=1)},
        tools={},
    )
    return Artifact(f"artifacts/{model}-{quantization}-{file[:4]}", manifest)


def built(*artifacts: Artifact) -> dict[tuple[str, str], Artifact]:
    return {(a.manifest.model, a.manifest.quantization): a for a in artifacts or (an_artifact(),)}


def a_spec(name: str = "chat-student-v-0", **fields: Any) -> ReplicaSpec:
    return ReplicaSpec(
        **{
            "name": name,
            "owner": "me",
            "service": "chat",
            "tier": "student",
            "site": "lab",
            "pool": 0,
            "variant": "v",
            "artifact": "artifacts/tiny",
            "slots": 1,
            "context_tokens": 256,
            "threads": 2,
            "queue": 8,
            "memory_bytes": 100 * MIB,
        }
        | fields
    )


def a_replica(name: str = "chat-student-v-0", phase: Phase = Phase.READY, **fields: Any) -> ReplicaReport:
    """A replica in a phase; fields of the report by name, all others go to its spec."""
    said = {key: fields.pop(key) for key in ("url", "running", "message") if key in fields}
    return ReplicaReport(spec=a_spec(name, **fields), phase=phase, **{"url": f"http://127.0.0.1/{name}"} | said)


def a_world(*sites: Site, **fields: Any) -> World:
    """The sites (else one lab), `tiny` built, fleet `ray` ours."""
    known = {site.metadata.name: site for site in sites or (a_site(),)}
    return World(**{"sites": known, "artifacts": built(), "fleets": frozenset({"ray"}), "owner": "me"} | fields)


def an_outside(*documents: Any, fleet: Any = None, **ports: Any) -> Outside:
    """Memory ports that want a service on a lab (else these documents), with `tiny` built."""
    store = MemoryStore("me")
    store.put(documents or (a_service(), a_site()))
    return Outside(
        **{
            "fleets": {"ray": fleet if fleet is not None else MemoryFleet()},
            "router": MemoryRouter(),
            "artifacts": MemoryArtifacts(built()),
            "store": store,
            "catalog": a_catalog(),
        }
        | ports
    )
