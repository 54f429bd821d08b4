"""A gateway as a process: `python -m runtimes.gateway.main --port 8080 --admin-port 8081 --state routes.json`.

The admin token comes from the environment variable HEADWATER_GATEWAY_TOKEN. SIGTERM and SIGINT end it once the requests
that run are finished, or after `DRAIN_S`. Everything else is in `runtimes.gateway.run`.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Event

from runtimes.errors import HeadwaterError
from runtimes.gateway.run import Gateway, GatewaySettings

TOKEN_VARIABLE = "HEADWATER_GATEWAY_TOKEN"  # noqa: S105 the variable's name, no secret
DRAIN_S = 30.0
_LOOK_EVERY_S = 1.0


def main(arguments: Sequence[str]) -> int:
    """Run until told to stop; the exit code is 0 after a drain, 2 when it could not start, 1 when it died."""
    parser = argparse.ArgumentParser(prog="runtimes.gateway.main", description="The OpenAI front door.")
    parser.add_argument("--port", type=int, required=True, help="port for clients, on 127.0.0.1")
    parser.add_argument("--admin-port", type=int, required=True, help="port for the controller, on 127.0.0.1")
    parser.add_argument("--state", type=Path, required=True, metavar="FILE", help="file that keeps the route table")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    log = logging.getLogger(__name__)
    asked_to_stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked_to_stop.set())
    gateway = Gateway(
        GatewaySettings(
            host="127.0.0.1",
            port=given.port,
            admin_port=given.admin_port,
            admin_token=os.environ.get(TOKEN_VARIABLE, ""),
            state=given.state,
        ),
    )
    try:
        gateway.start()
    except HeadwaterError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    log.info("clients at %s, controller at %s", *gateway.urls)
    while not asked_to_stop.wait(_LOOK_EVERY_S):
        if not gateway.running:
            log.error("the gateway ended by itself")
            return 1
    log.info("draining for at most %g s", DRAIN_S)
    gateway.stop(DRAIN_S)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
