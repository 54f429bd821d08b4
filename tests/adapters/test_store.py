"""What the store promises, for SQLite and for memory alike."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import a_model, a_profile, a_service, a_site, an_engine

from orchestrator.adapters import memory, store
from orchestrator.adapters.memory import MemoryStore
from orchestrator.adapters.store import SqliteStore
from orchestrator.errors import Unavailable
from orchestrator.ports import Event, Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "state.db"


@pytest.fixture(params=["sqlite", "memory"])
def kept(request: pytest.FixtureRequest, path: Path) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    with closing(SqliteStore(path)) as opened:
        yield opened


ALL = (an_engine(), a_profile(), a_model(), a_service(), a_site())


def test_documents_come_back_equal_in_order_of_kind_and_name(kept: Store) -> None:
    kept.put(ALL)

    assert kept.documents() == tuple(sorted(ALL, key=lambda document: (document.kind, document.metadata.name)))


@pytest.mark.parametrize(
    ("before", "now", "changed"),
    [
        pytest.param(
            (), (a_service("b"), a_service("a")), ("ModelService/b", "ModelService/a"), id="new ones, as given"
        ),
        pytest.param((a_service(),), (a_service(),), (), id="nothing when nothing is new"),
        pytest.param((a_service(),), (a_service(rate="2/h"), a_site()), ("ModelService/chat", "Site/lab"), id="edits"),
        pytest.param(
            (a_service(),), (a_service(rate="2/h"), a_service()), (), id="nothing when the last word is the old one"
        ),
    ],
)
def test_put_says_exactly_what_changed(
    kept: Store, before: tuple[Any, ...], now: tuple[Any, ...], changed: tuple[str, ...]
) -> None:
    kept.put(before)

    assert kept.put(now) == changed


def test_the_order_of_labels_is_no_change(kept: Store) -> None:
    one, two = (
        a_site().model_copy(update={"metadata": a_site().metadata.model_copy(update={"labels": labels})})
        for labels in ({"a": "1", "b": "2"}, {"b": "2", "a": "1"})
    )
    kept.put((one,))

    assert kept.put((two,)) == ()


def test_deleting_says_whether_there_was_one(kept: Store) -> None:
    kept.put((a_service(),))

    assert (kept.delete("Site", "chat"), kept.delete("ModelService", "chat"), kept.delete("ModelService", "chat")) == (
        False,
        True,
        False,
    )
    assert kept.documents() == ()


def test_only_the_newest_events_are_kept(kept: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory.EVENTS_KEPT == store.EVENTS_KEPT
    if isinstance(kept, MemoryStore):
        written = memory.EVENTS_KEPT + 5
        left = memory.EVENTS_KEPT
    else:
        monkeypatch.setattr(store, "EVENTS_KEPT", 10)
        written, left = 15, 10
    events = [Event(float(n), "replica/a", "ready", str(n)) for n in range(written)]
    for event in events:
        kept.note(event)

    assert kept.events(written) == tuple(events[-left:])
    assert kept.events(2) == tuple(events[-2:])
    assert kept.events(0) == ()


def test_everything_survives_reopening(path: Path) -> None:
    event = Event(1.5, "ModelService/chat", "applied", "wanted from now on")
    with closing(SqliteStore(path)) as first:
        first.put(ALL)
        first.note(event)
        owner, documents = first.owner(), first.documents()

    with closing(SqliteStore(path)) as again:
        assert (again.owner(), again.documents(), again.events(9)) == (owner, documents, (event,))


def test_two_stores_have_two_owners(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "a")) as a, closing(SqliteStore(tmp_path / "b")) as b:
        assert a.owner() != b.owner()


def test_put_is_all_or_nothing_and_the_store_goes_on(path: Path) -> None:
    """Promise 9: a write that breaks off in the middle leaves the store as it was."""
    with closing(SqliteStore(path)) as kept:
        kept.put((a_service(),))
        with closing(sqlite3.connect(path)) as outside:
            outside.execute(
                "CREATE TRIGGER broken BEFORE INSERT ON documents WHEN NEW.kind = 'Site' "
                "BEGIN SELECT RAISE(ABORT, 'disk full'); END"
            )
            with pytest.raises(Unavailable, match="disk full"):
                kept.put((a_service(rate="2/h"), a_site()))
            assert kept.documents() == (a_service(),)
            outside.execute("DROP TRIGGER broken")

        assert kept.put((a_service(rate="2/h"), a_site())) == ("ModelService/chat", "Site/lab")


def no_database(path: Path) -> None:
    path.write_bytes(b"this is no database, and long enough to be sure of it" * 100)


def a_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("made", [no_database, a_folder])
def test_what_is_no_store_is_unavailable_with_its_path(made: Callable[[Path], None], tmp_path: Path) -> None:
    """Promise 9."""
    made(tmp_path / "state.db")

    with pytest.raises(Unavailable, match=r"^store .*state\.db: ") as told:
        SqliteStore(tmp_path / "state.db")
    assert ("move it away" in str(told.value)) is (made is no_database)


@pytest.mark.skipif(os.name == "nt", reason="a file as folder is told otherwise there")
def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(Unavailable, match=r"^store "):
        SqliteStore(tmp_path / "file" / "state.db")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        pytest.param("ModelService", "{}", id="fields this version wants"),
        pytest.param("Cluster", "{}", id="a kind this version does not know"),
        pytest.param("Site", "{[", id="no JSON"),
    ],
)
def test_a_document_of_another_version_is_named_beside_the_others_and_can_be_deleted(
    path: Path, kind: str, body: str
) -> None:
    """Promise 9: one document that cannot be read hides no other."""
    with closing(SqliteStore(path)) as kept:
        kept.put((a_service("talk"),))
        with closing(sqlite3.connect(path)) as outside:
            outside.execute("INSERT INTO documents VALUES (?, 'chat', ?)", (kind, body))
            outside.commit()

        assert (kept.documents(), kept.unreadable()) == ((a_service("talk"),), (f"{kind}/chat",))
        assert kept.delete(kind, "chat")
        assert kept.unreadable() == ()


documents = st.sampled_from(
    [a_service(), a_service(rate="2/h"), a_service("talk"), a_site(), a_site("lab", fleet="none"), a_model()]
)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.lists(documents, max_size=3).map(tuple)),
        st.tuples(st.just("delete"), st.sampled_from([("ModelService", "chat"), ("Site", "lab"), ("Model", "no")])),
        st.tuples(st.just("note"), st.text(st.characters(exclude_categories=["Cs"]), max_size=5)),
        st.tuples(st.just("events"), st.integers(0, 3)),
    ),
    max_size=12,
)


def outcome(kept: Store, operation: tuple[str, Any]) -> object:
    match operation:
        case ("put", given_documents):
            return kept.put(given_documents)
        case ("delete", (kind, name)):
            return kept.delete(kind, name)
        case ("note", text):
            return kept.note(Event(0.5, "a", "b", text))
        case (_, limit):
            return kept.events(limit)


@given(operations)
@settings(max_examples=40)
def test_the_store_in_memory_and_the_one_on_disk_never_differ(sequence: list[tuple[str, Any]]) -> None:
    with TemporaryDirectory() as folder, closing(SqliteStore(Path(folder) / "state.db")) as disk:
        fake = MemoryStore()
        for operation in sequence:
            assert outcome(disk, operation) == outcome(fake, operation)
            assert disk.documents() == fake.documents()
