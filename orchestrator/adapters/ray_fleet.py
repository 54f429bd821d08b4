"""`Fleet` on Ray: each student replica is a named, detached actor that hosts the edge server.

Ray supervises, restarts and places; requests go over HTTP from the gateway and never through Ray. An actor is asked for
with the chip of its pool as a custom resource and its site as a label selector. A killed process is restarted by Ray
with the same spec, without the controller. `orchestrator.adapters.ray_node` and `orchestrator.control.actor` are the
other homes of Ray.
"""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ActorDiedError, GetTimeoutError, RayError

from orchestrator.core.lifecycle import believe
from orchestrator.errors import NotOurs, Refused, Unavailable
from orchestrator.local_ports import known_port, remember_port, remembered_port
from orchestrator.logs import to_file
from orchestrator.settings import NAMESPACE, SITE_LABEL
from runtimes.contract import Phase, ReplicaReport, ReplicaSpec
from runtimes.edge.replica import Replica

_PREFIX = "replica:"
LONGEST_DRAIN_S = 300.0  # a replica that has not finished by then, or never answers, is ended
LAST_WORDS_S = 10.0  # for running requests when the whole machine goes down
PATIENCE_S = 2.0  # for a report; a replica answers from its own thread at once, so silence means trouble
_SHARES = 10_000  # Ray counts resources in ten-thousandths


def chip_resource(profile: str) -> str:
    """The custom resource of a chip: Ray knows few domestic chips, so every chip is named by its profile."""
    return f"chip-{profile}"


class ReplicaActor:
    """What runs in the actor: the replica in a thread of its own, and two short calls."""

    def __init__(self, spec_json: str, home: str) -> None:
        spec = ReplicaSpec.model_validate_json(spec_json)
        to_file(Path(home) / "logs" / f"{spec.name}.log")
        self._port_file = Path(home) / "run" / f"{spec.name}.port"
        log = logging.getLogger("headwater.replica").info
        self._replica = Replica(spec, port=remembered_port(self._port_file), log=log)
        self._replica.start()

    def report(self) -> str:
        """The replica's report as JSON. Remembers its port, so that a restart comes back at the same address."""
        report = self._replica.report()
        if report.url:
            remember_port(self._port_file, int(report.url.rpartition(":")[2]))
        return str(report.model_dump_json())

    def drain(self) -> None:
        """Take nothing new, finish what runs."""
        self._replica.drain()


class RayFleet:
    """Replicas on the Ray cluster this process is connected to."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._actors: dict[str, Any] = {}
        self._known: dict[str, ReplicaReport] = {}
        self._stop_asked_s: dict[str, float] = {}
        self._idle: set[str] = set()

    def observe(self) -> tuple[ReplicaReport, ...]:
        """Ask every replica at once; one that does not answer in time is believed, not buried."""
        calls = {name: actor.report.remote() for name in self._names() if (actor := self._actor(name)) is not None}
        if calls:
            ray.wait(list(calls.values()), num_returns=len(calls), timeout=PATIENCE_S)
        seen: dict[str, ReplicaReport] = {}
        for name, call in calls.items():
            try:
                answer = ReplicaReport.model_validate_json(ray.get(call, timeout=0))
            except ActorDiedError as exc:
                self._actors.pop(name, None)
                last = self._known.get(name)
                if last is None or last.phase is not Phase.STARTING:
                    continue  # it was ended, or its machine is gone
                said = f"its process could not start: {str(exc).strip().splitlines()[-1]}"
                answer = last.model_copy(update={"phase": Phase.FAILED, "message": said})
            except (GetTimeoutError, RayError):
                answer = None
            held = believe(self._known.get(name) or self._remembered(name), answer)
            if held is not None:
                seen[name] = held
        self._known = seen
        return tuple(seen[name] for name in sorted(seen))

    def sites(self) -> frozenset[str] | None:
        """Sites whose label a living node carries."""
        return frozenset({node["Labels"].get(SITE_LABEL, "") for node in _nodes()} - {""})

    def start(self, spec: ReplicaSpec) -> None:
        """Start the actor unless one of this name exists."""
        found = self._known.get(spec.name)
        if found is not None and found.spec.owner != spec.owner:
            raise NotOurs(f"replica {spec.name} belongs to controller {found.spec.owner}, not to {spec.owner}")
        if self._actor(spec.name) is not None:
            return
        self._check_site(spec)
        share = math.ceil(spec.chip_share * _SHARES) / _SHARES
        with_options = ray.remote(ReplicaActor).options(
            name=_PREFIX + spec.name,
            namespace=NAMESPACE,
            lifetime="detached",
            max_restarts=-1,
            num_cpus=0,
            resources={chip_resource(spec.chip): share},
            label_selector={SITE_LABEL: spec.site},
            max_concurrency=4,
        )
        try:
            self._actors[spec.name] = with_options.remote(spec.model_dump_json(), str(self._home))
        except (RayError, ValueError) as exc:
            raise Unavailable(f"ray did not take replica {spec.name}: {exc}") from exc
        waits = f"asked for; starts when site {spec.site} has a free {spec.chip}"
        self._known[spec.name] = ReplicaReport(spec=spec, phase=Phase.STARTING, message=waits)
        self._spec_file(spec.name).write_text(spec.model_dump_json())

    def stop(self, replica: str) -> None:
        """Ask it to drain; end its actor when nothing runs in it, when it failed, or when it takes too long."""
        actor, found = self._actor(replica), self._known.get(replica)
        if actor is None or found is None:
            return
        asked_s = self._stop_asked_s.setdefault(replica, time.monotonic())
        idle = found.phase is Phase.DRAINING and found.running == 0 and found.waiting == 0
        drained = idle and replica in self._idle  # seen twice: the last bytes of an answer have left by then
        (self._idle.add if idle else self._idle.discard)(replica)
        overdue = time.monotonic() - asked_s > LONGEST_DRAIN_S
        if found.phase in {Phase.STARTING, Phase.FAILED} or drained or overdue:
            ray.kill(actor, no_restart=True)
            for kept in (self._actors, self._known, self._stop_asked_s):
                kept.pop(replica, None)
            self._idle.discard(replica)
            self._port_file(replica).unlink(missing_ok=True)
            self._spec_file(replica).unlink(missing_ok=True)
        elif found.phase is not Phase.DRAINING:
            actor.drain.remote()

    def drain_all(self) -> None:
        """Ask every replica to drain and wait until nothing runs, for a short while."""
        deadline_s = time.monotonic() + LAST_WORDS_S
        while time.monotonic() < deadline_s:
            replicas = self.observe()
            for replica in replicas:
                self.stop(replica.spec.name)
            if not replicas:
                return
            time.sleep(0.1)

    def _check_site(self, spec: ReplicaSpec) -> None:
        """An actor for a site or a chip without a machine would wait for ever and say nothing."""
        nodes, sites = _nodes(), sorted(self.sites() or ())
        if spec.site not in sites:
            raise Refused(
                f"no machine of site {spec.site} is connected (connected: {', '.join(sites) or 'no site'}); "
                f"start this one with `headwater down` and `headwater up --site {spec.site}`"
            )
        there = {name for node in nodes if node["Labels"].get(SITE_LABEL) == spec.site for name in node["Resources"]}
        if chip_resource(spec.chip) not in there:
            chips = sorted(name.removeprefix(chip_resource("")) for name in there if name.startswith(chip_resource("")))
            raise Refused(
                f"no machine of site {spec.site} has the chip {spec.chip} (there: {', '.join(chips) or 'none'}); "
                "write a profile that is there into the site's pool, such as local for this machine"
            )

    def _remembered(self, name: str) -> ReplicaReport | None:
        """What a controller that has just come back knows of a replica that does not answer."""
        port = known_port(self._port_file(name))
        try:
            spec = ReplicaSpec.model_validate_json(self._spec_file(name).read_text())
        except (OSError, ValueError):
            return None
        if port is None:
            return ReplicaReport(spec=spec, phase=Phase.STARTING)
        return ReplicaReport(spec=spec, phase=Phase.READY, url=f"http://127.0.0.1:{port}")

    def _spec_file(self, name: str) -> Path:
        return self._home / "run" / f"{name}.spec"

    def _port_file(self, name: str) -> Path:
        return self._home / "run" / f"{name}.port"

    def _names(self) -> list[str]:
        try:
            named = ray.util.list_named_actors(all_namespaces=True)
        except RayError as exc:
            raise Unavailable(f"ray does not answer: {exc}") from exc
        ours = (entry["name"] for entry in named if entry["namespace"] == NAMESPACE)
        return sorted(name.removeprefix(_PREFIX) for name in ours if name.startswith(_PREFIX))

    def _actor(self, replica: str) -> Any | None:
        if replica not in self._actors:
            try:
                self._actors[replica] = ray.get_actor(_PREFIX + replica, namespace=NAMESPACE)
            except ValueError:
                return None
        return self._actors[replica]


def _nodes() -> list[dict[str, Any]]:
    """The living nodes of this Ray."""
    try:
        return [node for node in ray.nodes() if node["Alive"]]
    except RayError as exc:
        raise Unavailable(f"ray does not answer: {exc}") from exc
