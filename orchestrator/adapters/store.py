"""`Store` in SQLite with a write-ahead log: what is wanted, who we are, what happened. The only home of sqlite3."""

from __future__ import annotations

import json
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pydantic import ValidationError

from orchestrator.api.kinds import Document, as_json, from_json
from orchestrator.errors import Unavailable
from orchestrator.ports import Event

EVENTS_KEPT = 10_000
_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS documents (kind TEXT, name TEXT, body TEXT NOT NULL, PRIMARY KEY (kind, name));
CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY, at_s REAL, subject TEXT, kind TEXT, text TEXT);
"""


def _body(document: Document) -> str:
    """The document as text; the same document always gives the same text."""
    return json.dumps(as_json(document), sort_keys=True)


def _document(kind: str, body: str) -> Document | None:
    try:
        return from_json(kind, body)
    except (KeyError, ValidationError):
        return None


class SqliteStore:
    """One file, one process; several threads take turns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = threading.Lock()
        with self._errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            with ExitStack() as on_failure:
                self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
                on_failure.callback(self._db.close)
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=FULL")
                self._db.executescript(_TABLES)
                self._db.execute("INSERT OR IGNORE INTO meta VALUES ('owner', ?)", (uuid.uuid4().hex[:12],))
                on_failure.pop_all()

    def owner(self) -> str:
        """The instance id, made when the file was."""
        with self._errors():
            return str(self._db.execute("SELECT value FROM meta WHERE key = 'owner'").fetchone()[0])

    def documents(self) -> tuple[Document, ...]:
        """In order of kind and name, without what another version wrote."""
        return tuple(document for _, document in self._rows() if document is not None)

    def unreadable(self) -> tuple[str, ...]:
        """`kind/name` of what another version wrote."""
        return tuple(key for key, document in self._rows() if document is None)

    def put(self, documents: tuple[Document, ...]) -> tuple[str, ...]:
        """Keep documents in one transaction; returns those that changed. Of two with one name the later wins."""
        bodies = {(document.kind, document.metadata.name): _body(document) for document in documents}
        changed = []
        with self._errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                for key, body in bodies.items():
                    found = self._db.execute("SELECT body FROM documents WHERE kind = ? AND name = ?", key).fetchone()
                    if found is None or found[0] != body:
                        self._db.execute("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", (*key, body))
                        changed.append("/".join(key))
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        return tuple(changed)

    def delete(self, kind: str, name: str) -> bool:
        """Forget a document."""
        with self._errors():
            done = self._db.execute("DELETE FROM documents WHERE kind = ? AND name = ?", (kind, name))
            return done.rowcount > 0

    def note(self, event: Event) -> None:
        """Append, and forget the oldest beyond the limit."""
        with self._errors():
            row = (event.at_s, event.subject, event.kind, event.text)
            done = self._db.execute("INSERT INTO events (at_s, subject, kind, text) VALUES (?, ?, ?, ?)", row)
            self._db.execute("DELETE FROM events WHERE id <= ?", ((done.lastrowid or 0) - EVENTS_KEPT,))

    def events(self, limit: int) -> tuple[Event, ...]:
        """The newest, oldest first."""
        with self._errors():
            rows = self._db.execute("SELECT at_s, subject, kind, text FROM events ORDER BY id DESC LIMIT ?", (limit,))
            return tuple(Event(*row) for row in reversed(rows.fetchall()))

    def close(self) -> None:
        """Close the file."""
        with self._turn:
            self._db.close()

    def _rows(self) -> list[tuple[str, Document | None]]:
        with self._errors():
            rows = self._db.execute("SELECT kind, name, body FROM documents ORDER BY kind, name").fetchall()
        return [(f"{kind}/{name}", _document(kind, body)) for kind, name, body in rows]

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """One thread at a time; SQLite's errors end here."""
        with self._turn:
            try:
                yield
            except (sqlite3.Error, OSError) as exc:
                damaged = type(exc) is sqlite3.DatabaseError  # what passes by itself has a class of its own
                hint = "; move it away to begin with an empty one" if damaged else ""
                raise Unavailable(f"store {self._path}: {exc}{hint}", retry_in_s=1) from exc
