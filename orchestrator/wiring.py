"""Chooses adapters and builds what each process needs. No logic. Heavy imports live inside these functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.api.kinds import Catalog
from orchestrator.errors import Unavailable
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from orchestrator.control.http import Api


def catalog(settings: Settings) -> Catalog:
    """What ships, what the user added under `catalog/` in the home folder, and this machine as profile `local`."""
    from orchestrator.adapters.catalog import read_catalog
    from orchestrator.adapters.machine import detect

    added = settings.home / "catalog"
    shipped = read_catalog([added] if added.is_dir() else [], settings.home / "cache" / "catalog.json")
    return shipped.with_documents([detect(settings.home / "machine.json")])


def control_api(settings: Settings) -> Api:
    """A controller on Ray with its store, its gateway and its API. Ray must be connected."""
    from orchestrator.adapters.artifacts import DiskArtifacts
    from orchestrator.adapters.gateway_router import GatewayRouter
    from orchestrator.adapters.ray_fleet import RayFleet
    from orchestrator.adapters.store import SqliteStore
    from orchestrator.control.http import Api
    from orchestrator.control.loop import Controller
    from orchestrator.ports import Outside

    token = read_token(settings)
    known = catalog(settings)
    outside = Outside(
        fleets={"ray": RayFleet(settings.home)},
        router=GatewayRouter(settings.run / "gateway-admin.port", token),
        artifacts=DiskArtifacts(settings.artifacts),
        store=SqliteStore(settings.home / "state.db"),
        catalog=known,
    )
    return Api(Controller(outside, every_s=settings.every_s), known, token)


def read_token(settings: Settings) -> str:
    """The secret that the CLI, the controller and the gateway's admin port share on this machine."""
    try:
        return (settings.run / "token").read_text()
    except OSError as exc:
        raise Unavailable("nothing runs here; start it with `headwater up`") from exc
