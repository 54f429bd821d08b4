"""The control API as the commands use it."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from pydantic import ValidationError

from orchestrator.api.kinds import Document, from_json
from orchestrator.errors import Invalid, Refused, Unavailable
from orchestrator.local import state
from orchestrator.local_ports import known_port
from orchestrator.settings import Settings
from orchestrator.wiring import read_token

PATIENCE_S = 10.0
POLL_S = 0.2
NOT_FOUND_OR_BAD, CONFLICT, AWAY = 400, 409, 503
GONE = ("stopped", "broken")  # phases of a node that comes back only by a person's hand
ENDED = "the node was ended from outside; `headwater up` starts it, `headwater down` tidies up"


def endpoint_port(settings: Settings) -> int:
    """Port of the OpenAI endpoint. Raises Unavailable when nothing runs, and says whether it was ended from outside."""
    read_token(settings)
    said = state(settings)
    if said["phase"] in GONE:
        raise _gone(said)
    if "port" not in said:
        raise Unavailable("the node is still starting; try again")
    return int(said["port"])


def _gone(said: dict[str, Any]) -> Unavailable:
    """What to say of a node that has ended, or whose Ray has."""
    return Unavailable(said.get("message") or ENDED)


class Control:
    """One controller on this machine."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def status(self) -> dict[str, Any]:
        """What is and what is wanted. Raises Unavailable when nothing runs or the controller does not answer."""
        return self._call("GET", "/v1/status")

    def apply(self, text: bytes, *, dry_run: bool) -> dict[str, Any]:
        """Want the documents in a YAML text; problems name their line of it as `request:LINE`."""
        return self._call("POST", f"/v1/apply?dryRun={str(dry_run).lower()}", text)

    def documents(self) -> tuple[Document, ...]:
        """What the controller keeps. Raises Refused when it is of another version."""
        kept = self._call("GET", "/v1/documents")["documents"]
        try:
            return tuple(from_json(one["kind"], json.dumps(one)) for one in kept)
        except (KeyError, ValidationError) as exc:
            hint = "start this version with `headwater down` and `headwater up`"
            raise Refused(f"the node was started by another version of headwater; {hint}") from exc

    def delete(self, kind: str, name: str, *, dry_run: bool) -> None:
        """Want a document no more."""
        path = f"{quote(kind, safe='')}/{quote(name, safe='')}"
        self._call("DELETE", f"/v1/documents/{path}?dryRun={str(dry_run).lower()}")

    def wait(self, until: Callable[[dict[str, Any]], bool], timeout_s: float, what: str) -> dict[str, Any]:
        """Poll the status until it is as wanted; a controller that is being restarted is waited for.

        Raises Unavailable after `timeout_s`, and when the node has ended.
        """
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            try:
                status = self.status()
            except Unavailable:
                if state(self._settings)["phase"] in GONE:
                    raise
            else:
                if until(status):
                    return status
            time.sleep(POLL_S)
        raise Unavailable(f"{what} after {timeout_s:.0f} s; see `headwater status`")

    def _call(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        token, port = read_token(self._settings), known_port(self._settings.run / "control.port")
        if port is None:
            raise Unavailable("the controller is still starting; try again")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, {"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            value = dict(json.loads(answer.read()))
        except (OSError, http.client.HTTPException, ValueError, TypeError) as exc:
            raise self._away(exc) from exc
        finally:
            connection.close()
        said = str(value.get("error", f"the controller answered {answer.status}"))
        if answer.status >= AWAY:
            raise Unavailable(said)
        if answer.status == CONFLICT:
            raise Refused(said)
        if answer.status >= NOT_FOUND_OR_BAD:
            raise Invalid(said)
        return value

    def _away(self, exc: Exception) -> Unavailable:
        said = state(self._settings)
        if said["phase"] in GONE:
            return _gone(said)
        return Unavailable(f"the controller does not answer ({exc}); replicas and gateway keep serving")
