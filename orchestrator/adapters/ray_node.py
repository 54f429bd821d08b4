"""This machine as a Ray node: starts and stops the local Ray, nothing else on it.

Called by `orchestrator.node`. Replicas listen on loopback, so a node is one machine. A replica goes to its site by
the label, and to its chip by the resource, that this machine is started with.
"""

from __future__ import annotations

import os
from pathlib import Path

import ray

from orchestrator.adapters.ray_fleet import RayFleet, chip_resource
from orchestrator.settings import NAMESPACE, SITE_LABEL, ray_folder

OBJECT_STORE_BYTES = 80 << 20  # the smallest Ray takes; nothing of ours goes through it


def start(home: Path, site: str, profile: str) -> str:
    """Start a head node. Returns its address.

    Ray's own ports listen on every interface, behind Ray's token authentication.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    context = ray.init(
        namespace=NAMESPACE,
        include_dashboard=False,
        resources={chip_resource(profile): 1.0},
        labels={SITE_LABEL: site},
        object_store_memory=OBJECT_STORE_BYTES,
        log_to_driver=False,
        configure_logging=False,
        _node_ip_address="127.0.0.1",
        _temp_dir=str(ray_folder(home)),
    )
    return str(context.address_info["gcs_address"])


def stop(home: Path) -> None:
    """Let replicas finish, then end Ray on this machine, and only this Ray."""
    if ray.is_initialized():
        RayFleet(home).drain_all()
        ray.shutdown()
