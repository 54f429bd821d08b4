"""Weights from a mirror on this machine: resumed, verified, offered whole or not at all, and then without a network."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from runtimes.contract import MANIFEST_FILE
from runtimes.errors import Invalid, Refused, Unavailable
from runtimes.fetch import transfer
from runtimes.fetch.listing import MARKER, of_sums
from runtimes.fetch.main import main
from runtimes.fetch.verified import Wanted, await_checkpoint, checkpoint


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Mirror:
    """Serves files of a dictionary with ranges; may hang up after some bytes, or answer with an error."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.cut_after: int | None = None
        self.failures = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                span = self.headers.get("Range", "")
                outer.asked.append((self.path, span))
                content = outer.files.get(self.path)
                if outer.failures or content is None:
                    self.send_error(503 if outer.failures else 404)
                    outer.failures = max(0, outer.failures - 1)
                    return
                start = int(re.fullmatch(r"bytes=(\d+)-", span).group(1)) if span else 0
                if span and start >= len(content):
                    self.send_error(416)
                    return
                self.send_response(206 if span else 200)
                rest = content[start:]
                self.send_header("Content-Length", str(len(rest)))
                self.end_headers()
                self.wfile.write(rest if outer.cut_after is None else rest[: outer.cut_after])

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/m"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def offer(self, name: str, files: dict[str, bytes]) -> str:
        """Put a checkpoint there; gives the checksum of its list."""
        sums = "".join(f"{sha(content)}  {file}\n" for file, content in files.items()).encode()
        self.files |= {f"/m/{name}/{file}": content for file, content in files.items()}
        self.files[f"/m/{name}/SHA256SUMS"] = sums
        return sha(sums)


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setattr(transfer, "FIRST_PAUSE_S", 0.0)
    monkeypatch.setenv("no_proxy", "*")
    one = Mirror()
    yield one
    one.server.shutdown()
    one.server.server_close()
    one.thread.join()


FILES = {"config.json": b"{}", "shards/model-1.safetensors": bytes(range(256)) * 40}


def quiet(_line: str) -> None:
    pass


def test_a_checkpoint_comes_whole_and_a_second_time_needs_no_mirror(mirror: Mirror, tmp_path: Path) -> None:
    sums = mirror.offer("org/model", FILES)
    arguments = ["checkpoint", "--to", str(tmp_path), "--name", "org/model", "--sums", sums]

    assert main([*arguments, "--mirror", mirror.url]) == 0
    folder = tmp_path / "org/model"
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES
    assert (folder / MARKER).read_text().strip() == sums
    asked = len(mirror.asked)
    assert main(arguments) == 0
    assert main([*arguments, "--mirror", "http://127.0.0.1:1"]) == 0
    assert len(mirror.asked) == asked


def test_what_was_cut_off_is_gone_on_from_and_nothing_is_offered_before_the_end(mirror: Mirror, tmp_path: Path) -> None:
    mirror.offer("org/model", FILES)
    wanted = Wanted(tmp_path, "org/model", mirror.url)
    large = "/m/org/model/shards/model-1.safetensors"
    whole = mirror.files.pop(large)
    with pytest.raises(Refused, match="404"):
        checkpoint(wanted, quiet)
    assert not wanted.folder.exists()
    mirror.files[large] = whole
    (wanted.unfinished / "shards").mkdir(exist_ok=True)
    (wanted.unfinished / "shards/model-1.safetensors").write_bytes(whole[:1000])
    mirror.asked.clear()
    mirror.failures = 2

    checkpoint(wanted, quiet)

    assert (wanted.folder / "shards/model-1.safetensors").read_bytes() == whole
    assert (large, "bytes=1000-") in mirror.asked
    assert not any(path.endswith("config.json") for path, _ in mirror.asked)


def test_a_mirror_that_hangs_up_is_asked_again_from_there_and_then_given_up(mirror: Mirror, tmp_path: Path) -> None:
    mirror.offer("m", {"w": b"x" * 100})
    wanted = Wanted(tmp_path, "m", mirror.url)
    mirror.cut_after = 15
    with pytest.raises((Unavailable, Refused)):
        checkpoint(wanted, quiet)
    mirror.cut_after = None

    checkpoint(wanted, quiet)

    assert (tmp_path / "m/w").read_bytes() == b"x" * 100


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        pytest.param(lambda files: files.update({"/m/m/w": b"other"}), "has another file", id="another file"),
        pytest.param(lambda files: files.update({"/m/m/SHA256SUMS": b"x"}), "another list", id="another list"),
        pytest.param(lambda files: files.pop("/m/m/SHA256SUMS"), "answers 404", id="no list"),
    ],
)
def test_what_is_not_the_listed_bytes_is_refused_and_never_offered(
    mirror: Mirror, tmp_path: Path, spoil: Any, says: str
) -> None:
    sums = mirror.offer("m", {"w": b"weights"})
    spoil(mirror.files)

    with pytest.raises(Refused, match=says):
        checkpoint(Wanted(tmp_path, "m", mirror.url, sums), quiet)

    assert not (tmp_path / "m").exists()


def test_what_was_brought_by_hand_is_verified_where_it_lies(mirror: Mirror, tmp_path: Path) -> None:
    mirror.offer("m", {"w": b"weights"})
    wanted = Wanted(tmp_path, "m", mirror.url)
    wanted.folder.mkdir()
    (wanted.folder / "w").write_bytes(b"changed")
    with pytest.raises(Refused, match="not the file that the mirror lists"):
        checkpoint(wanted, quiet)
    (wanted.folder / "w").write_bytes(b"weights")

    checkpoint(wanted, quiet)

    assert (wanted.folder / MARKER).exists()


@pytest.mark.parametrize("name", ["../etc/passwd", "/etc/passwd", "a/../../b", MARKER, "a\\b"])
def test_a_list_whose_names_lead_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(Refused, match="must be plain"):
        of_sums(f"{sha(b'')}  {name}\n".encode(), "the list")


@pytest.mark.parametrize("text", [b"", b"\n", b"no sums", b"\xff\xfe", sha(b"").encode()])
def test_a_list_that_is_none_is_named(text: bytes) -> None:
    with pytest.raises(Invalid, match="the list"):
        of_sums(text, "the list")


def test_waiting_ends_when_the_marker_comes_or_the_patience_ends(tmp_path: Path) -> None:
    wanted = Wanted(tmp_path, "m")
    with pytest.raises(Unavailable, match="was not brought"):
        await_checkpoint(wanted, 0.0, quiet, lambda _s: None)

    def bring(_pause_s: float) -> None:
        wanted.folder.mkdir()
        (wanted.folder / MARKER).write_text("0" * 64)

    await_checkpoint(wanted, 60.0, quiet, bring)
    with pytest.raises(Refused, match="was verified against the list"):
        await_checkpoint(Wanted(tmp_path, "m", sums="1" * 64), 0.0, quiet)


@pytest.mark.model
def test_an_artifact_comes_as_it_was_planned_or_is_refused(mirror: Mirror, tmp_path: Path, artifact: Path) -> None:
    manifest = artifact / MANIFEST_FILE
    names = list(json.loads(manifest.read_text())["files"])
    mirror.files |= {f"/m/s/{name}": (artifact / name).read_bytes() for name in names}
    arguments = ["artifact", "--to", str(tmp_path), "--name", "s", "--manifest", str(manifest)]

    assert main([*arguments, "--mirror", mirror.url]) == 0
    assert (tmp_path / "s" / MANIFEST_FILE).read_bytes() == manifest.read_bytes()
    assert main(arguments) == 0
    (tmp_path / "s" / MARKER).unlink()
    (tmp_path / "s/model.onnx").write_bytes(b"torn")
    assert main(arguments) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["checkpoint", "--name", "../x"],
        ["checkpoint", "--name", "m"],
        ["checkpoint", "--name", "m", "--mirror", "file:///etc"],
    ],
)
def test_a_wrong_command_line_ends_with_one(arguments: list[str], tmp_path: Path) -> None:
    assert main([*arguments, "--to", str(tmp_path)]) == 1
