"""What containers may do: never root, no capability, a read-only root file system; more only with a reason.

Pure. Used by `pods` and `stock` beside this file. The reason comes from the chip's KubernetesProfile and is written on
the pod, where whoever audits the cluster finds it.
"""

from __future__ import annotations

from typing import Any

from orchestrator.api.cluster import PodNeeds

Object = dict[str, Any]

USER = 1000  # also Huawei's HwHiAiUser, whom the device nodes of Ascend chips belong to
ANNOTATION = "headwater.dev/rights"
HOME = "/tmp"  # noqa: S108  an emptyDir of the pod's own: nothing else can be written
NARROW = "never root, no capability, read-only root file system"
# A user without a line in the image's passwd has neither; engines and compilers put their caches there.
IDENTITY = {"HOME": HOME, "USER": "headwater"}


def keeps_root(needs: PodNeeds) -> bool:
    """Whether the image's own user, which may be root, is kept."""
    return bool(needs.root or needs.privileged)


def pod_context(needs: PodNeeds) -> Object:
    """Security context of a pod on these chips."""
    context: Object = {"seccompProfile": {"type": "RuntimeDefault"}}
    if not keeps_root(needs):
        context |= {"runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER}
        # A volume of weights has many files; they are given to the group once, not at every start.
        context["fsGroupChangePolicy"] = "OnRootMismatch"
    return context


def container_context(needs: PodNeeds) -> Object:
    """Security context of the engine's container."""
    if needs.privileged:
        return {"privileged": True}
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": not needs.root,
    }


def own_context() -> Object:
    """Security context of containers from our own image, whatever the pod is for."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "runAsUser": USER,
    }


def reason(needs: PodNeeds) -> str:
    """What is written on the pod: the narrow rule, or why it is wider."""
    if needs.privileged:
        return f"privileged: {needs.privileged}"
    if needs.root:
        return f"user of the image, writable root file system: {needs.root}"
    return NARROW
