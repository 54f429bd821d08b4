"""The question whether an engine generates: one token from an OpenAI-compatible server on this machine.

Pure: builds the command, never runs it. An open port and a healthy answer do not say that tokens come. Used by every
recipe whose image has Python.
"""

from __future__ import annotations

# What differs comes as arguments, so nothing is ever quoted; a proxy in the environment is not for this machine.
_ASK = """\
import json, sys
from urllib.request import ProxyHandler, Request, build_opener
url, model, seconds = sys.argv[1:]
body = json.dumps({"model": model, "prompt": "1", "max_tokens": 1, "temperature": 0}).encode()
request = Request(url, body, {"Content-Type": "application/json"})
with build_opener(ProxyHandler({})).open(request, timeout=float(seconds)) as answer:
    sys.exit(json.load(answer)["usage"]["completion_tokens"] < 1)
"""


def one_token(port: int, served_name: str, timeout_s: int) -> tuple[str, ...]:
    """A command that exits 0 when one token came back within `timeout_s` seconds, and with something else when not."""
    return ("python3", "-c", _ASK, f"http://127.0.0.1:{port}/v1/completions", served_name, str(timeout_s))
