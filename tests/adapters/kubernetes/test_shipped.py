"""The shipped catalog, rendered: DeepSeek-V3.2-Exp in W8A8 on two nodes of eight Ascend 910B3.

When the catalog or the rendering changes on purpose, write the new text over the golden file and read the difference.
"""

from __future__ import annotations

import re
from pathlib import Path

from orchestrator.adapters.catalog import read_catalog
from orchestrator.adapters.kubernetes.render import Setting, render
from orchestrator.adapters.kubernetes.texts import to_yaml
from orchestrator.api.service import ModelService
from orchestrator.api.site import Site
from orchestrator.core.world import Configuration

GOLDEN = Path(__file__).parent / "golden" / "deepseek-v3.2-exp-two-nodes.yaml"
KEYS = {"headwater.dev", "app.kubernetes.io", "leaderworkerset.x-k8s.io", "huawei.com", "node.kubernetes.io"}


def shipped(two_nodes: Configuration, service: ModelService, site: Site) -> str:
    return to_yaml(render(Setting(service, "teacher", read_catalog(), site), two_nodes, replicas=1))


def test_the_shipped_catalog_renders_as_written_down(
    two_nodes: Configuration, service: ModelService, site: Site
) -> None:
    assert shipped(two_nodes, service, site) == GOLDEN.read_text()


def test_nothing_rendered_holds_a_registry_or_a_secret(
    two_nodes: Configuration, service: ModelService, site: Site
) -> None:
    text = shipped(two_nodes, service, site)

    hosts = set(re.findall(r"\b((?:[a-z0-9-]+\.)+(?:io|com|cn|net|org|dev|co))\b", text))
    assert hosts <= KEYS  # prefixes of labels and resources, no addresses
    words = set(re.findall(r"(?i)[\w-]*(?:secret|password|token)[\w-]*", text))
    assert words == {"automountServiceAccountToken", "--max-num-batched-tokens", "max_tokens", "completion_tokens"}
