"""The route table: who may push it, what it may say, and how it survives."""

import asyncio
import json
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtimes.errors import Invalid
from runtimes.gateway.table import Table, parse

OK_UPSTREAM = {"name": "a", "url": "http://127.0.0.1:9"}


def a_table(*upstreams: dict, service: str = "assistant") -> dict:
    return {"routes": [{"service": service, "upstreams": list(upstreams)}]}


@pytest.mark.parametrize(
    "token",
    ["", "wrong", "the-admin-toke", "the-admin-token2", "THE-ADMIN-TOKEN", "\xfe"],
)
def test_the_controllers_paths_need_the_token(lab, token: str) -> None:
    for method in ("PUT", "GET"):
        answer = lab.admin(method, "/admin/routes", token=token, body={"routes": []} if method == "PUT" else None)
        assert (answer.status, answer.json["error"]["code"]) == (401, "unauthorized")
    assert lab.ask("GET", "/readyz").status == 503


def test_another_kind_of_authorization_is_no_token(lab) -> None:
    answer = lab.ask("GET", "/admin/routes", headers={"Authorization": "Basic the-admin-token"}, admin=True)

    assert answer.status == 401


@pytest.mark.parametrize(
    ("table", "says"),
    [
        pytest.param(b"", "whole text", id="nothing"),
        pytest.param(b"{}x", "whole text", id="no JSON"),
        pytest.param({"routs": []}, "routs", id="an unknown field"),
        pytest.param({"schema_version": 2}, "reads 1", id="a newer schema"),
        pytest.param(a_table({"name": "a"}), "routes.0.upstreams.0.url", id="a missing field"),
        pytest.param({"routes": a_table()["routes"] * 2}, "listed twice", id="a service twice"),
        pytest.param(a_table(OK_UPSTREAM, OK_UPSTREAM), "twice", id="a replica twice"),
        pytest.param(a_table(service=""), "1 to 200", id="an empty service name"),
        pytest.param(a_table(service="a\nb"), "printable", id="a line break in a name"),
        pytest.param(a_table({**OK_UPSTREAM, "name": "a\r\nX: y"}), "printable", id="a header in a name"),
        *(
            pytest.param(a_table({**OK_UPSTREAM, "url": url}), "http://host:port", id=f"url {url!r}")
            for url in (
                "", "127.0.0.1:9", "ftp://h:9", "http://h", "http://h:0", "http://h:99999", "http://h:x", "http://:9",
                "http://h:9/", "http://h:9/p", "http://u:p@h:9", "http://h:9?q", "http://h:9#f", "http://h h:9",
                "http://[::1:9", "http://h\n:9",
            )
        ),
    ],
)  # fmt: skip
def test_a_table_is_refused_with_a_sentence_and_the_old_one_stays(lab, table: object, says: str) -> None:
    lab.route(before=[])

    answer = lab.admin("PUT", "/admin/routes", body=table)

    assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_route_table")
    assert says in answer.json["error"]["message"]
    assert lab.outstanding() == {"before": {}}


@given(st.binary() | st.from_type(dict).map(lambda d: repr(d).encode()))
def test_any_bytes_are_a_table_or_a_sentence(content: bytes) -> None:
    try:
        parse(content)
    except Invalid as error:
        assert str(error).startswith("route table: ")  # noqa: PT017 both endings are right


def test_ipv6_and_names_are_addresses_too() -> None:
    urls = ["http://[::1]:80", "https://replica-0.svc:443"]
    table = parse(json.dumps(a_table(*({"name": u, "url": u} for u in urls))).encode())

    assert [u.url for u in table.routes[0].upstreams] == urls


def test_a_restart_serves_from_disk_without_the_controller(lab) -> None:
    replica = lab.replica("a", "good")
    lab.route(assistant=[replica])
    lab.gateway.stop(1)

    lab.start()

    assert lab.ask("GET", "/readyz").status == 200
    assert lab.ask().status == 200
    assert stat.S_IMODE(lab.state.stat().st_mode) == 0o600
    assert [p.name for p in lab.state.parent.iterdir()] == ["routes.json"]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\x00" * 100, b'{"schema_version": 99}', b'{"routes": 1}'],
)
def test_a_corrupt_file_is_reported_and_treated_as_empty(idle_lab, caplog, content: bytes) -> None:
    idle_lab.state.parent.mkdir()
    idle_lab.state.write_bytes(content)

    idle_lab.start()

    assert "routes.json is left out" in caplog.text
    assert idle_lab.ask("GET", "/readyz").status == 503
    idle_lab.route(assistant=[])
    assert parse(idle_lab.state.read_bytes()).routes[0].service == "assistant"


def test_a_folder_in_place_of_the_file_is_reported_and_routes_work_without_it(idle_lab, caplog) -> None:
    (idle_lab.state / "in-the-way").mkdir(parents=True)

    idle_lab.start()
    answer = idle_lab.admin("PUT", "/admin/routes", body=a_table())

    assert "is left out" in caplog.text
    assert (answer.status, answer.json["error"]["code"]) == (503, "not_saved")
    assert "in use but not saved" in answer.json["error"]["message"]
    assert idle_lab.outstanding() == {"assistant": {}}


def test_an_equal_table_is_not_written_again(lab) -> None:
    lab.route(assistant=[])
    written = lab.state.stat().st_ino

    lab.route(assistant=[])

    assert lab.state.stat().st_ino == written


def test_counts_survive_a_push_for_replicas_that_stay(tmp_path) -> None:
    async def pushes() -> None:
        table = Table(tmp_path / "routes.json")
        moved = {"name": "b", "url": "http://127.0.0.1:10"}
        await table.push(parse(json.dumps(a_table(OK_UPSTREAM, moved)).encode()))
        for target in table.targets("assistant"):
            target.outstanding = 3

        moved = {"name": "b", "url": "http://127.0.0.1:11"}
        await table.push(parse(json.dumps(a_table(OK_UPSTREAM, moved)).encode()))

        assert table.outstanding() == {"assistant": {"a": 3, "b": 0}}

    asyncio.run(pushes())


def test_requests_under_way_finish_when_their_replica_leaves_the_table(lab) -> None:
    replica = lab.replica("a", "slow_stream")
    lab.route(assistant=[replica])
    held = lab.send("POST", "/v1/chat/completions", body={"model": "assistant", "stream": True})

    lab.route()
    lab.release(replica)

    assert held.read().endswith(b"data: last\n\n")
    held.connection.close()
    assert lab.metric("upstream_outstanding") == {}
