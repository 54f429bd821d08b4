"""Text in, documents out: every problem of a file at once, each with its line, its field and what would be right.

Pure: whoever calls has read the file. Called by the command line, by the control API and by
`orchestrator.adapters.catalog`. Whether names in documents refer to something is checked in
`orchestrator.api.references`; reading YAML within limits is `orchestrator.api.yamltree`; the wording of what pydantic
finds is `orchestrator.api.wording`.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic import ValidationError

from orchestrator.api.document import API_VERSION
from orchestrator.api.kinds import KINDS, Document
from orchestrator.api.scalars import meaning, short
from orchestrator.api.wording import Step, written, wrong
from orchestrator.api.yamltree import Broken, Budget, Node, chunks, not_text, trees
from orchestrator.errors import InvalidSpec, Problem

MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Loaded:
    """A document with where it was written."""

    document: Document
    line: int  # 1-based
    file: str
    root: Node | None = field(default=None, repr=False, compare=False)

    def line_of(self, path: Iterable[Step]) -> int:
        """Line of the field at `path`, or of the nearest written field around it."""
        return self.line if self.root is None else line_of(self.root, path)

    def problem(self, path: tuple[Step, ...], message: str) -> Problem:
        """Something wrong with the field at `path`."""
        return Problem(self.file, self.line_of(path), written(path), message)


def load_bytes(data: bytes, file: str) -> tuple[Loaded, ...]:
    """Decode UTF-8 and load. Raises InvalidSpec for anything that is not a text of good documents."""
    if len(data) > MAX_BYTES:
        raise _whole(file, f"the file has {len(data):,} bytes; at most {MAX_BYTES:,} are read (1 MiB)")
    if b"\0" in data:
        raise _whole(
            file, "this is a binary file; expected YAML text in UTF-8", data.count(b"\n", 0, data.index(b"\0"))
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        lines = data.count(b"\n", 0, error.start)
        raise _whole(file, "this is not UTF-8 text; save the file as UTF-8", lines) from error
    return load(text, file)


def load(text: str, file: str) -> tuple[Loaded, ...]:
    """Documents of a YAML text, in written order.

    Args:
        text: one or more YAML documents.
        file: the name that problems carry.

    Raises:
        InvalidSpec: with every problem of the text.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if len(text) > MAX_BYTES or (not text.isascii() and len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES):
        raise _whole(file, f"the text is longer than {MAX_BYTES:,} bytes (1 MiB)")
    if (strange := not_text(text)) is not None:
        line, name = strange
        raise _whole(file, f"character {name} is not allowed in YAML text", line - 1)
    reading = _Reading(file)
    for first_line, chunk in chunks(text):
        reading.read(chunk, first_line)
        if reading.budget.nodes < 0:
            break
    if not reading.roots and not reading.problems:
        raise _whole(file, f"the file holds no document; start with 'apiVersion: {API_VERSION}' and 'kind:'", None)
    if reading.problems:
        raise InvalidSpec(reading.problems)
    return tuple(reading.loaded)


def _whole(file: str, message: str, lines_before: int | None = None) -> InvalidSpec:
    return InvalidSpec([Problem(file, 0 if lines_before is None else lines_before + 1, "", message)])


@dataclass(slots=True)
class _Reading:
    """What has been read of one file so far."""

    file: str
    budget: Budget = field(default_factory=Budget)
    roots: int = 0
    loaded: list[Loaded] = field(default_factory=list)
    problems: set[Problem] = field(default_factory=set)
    names: dict[tuple[str, str], int] = field(default_factory=dict)

    def read(self, chunk: str, first_line: int) -> None:
        """Add the documents of one chunk, or what is wrong with them."""
        try:
            for root in trees(chunk, first_line, self.budget):
                if not (root.kind == "scalar" and root.plain and not root.text):
                    self.roots += 1
                    self.add(root)
        except Broken as broken:
            self.problem(broken.line, (), broken.message)

    def problem(self, line: int, path: Iterable[Step], message: str) -> None:
        """Note one problem."""
        self.problems.add(Problem(self.file, line, written(path), message))

    def add(self, root: Node) -> None:
        """Add one document, or what is wrong with it."""
        if root.kind != "mapping":
            this = "a list" if root.kind == "list" else "a single value"
            self.problem(root.line, (), f"a document is a mapping that starts with apiVersion and kind; this is {this}")
            return
        before = len(self.problems)
        bad: list[tuple[Step, ...]] = []
        value = self.plain(root, (), bad)
        kind = self.kind_of(root, value, bad)
        self.unique_name(root, value)
        if kind is None:
            return
        value |= {"apiVersion": API_VERSION}
        try:
            document = KINDS[kind].model_validate_json(json.dumps(value), strict=True, by_alias=True, by_name=False)
        except ValidationError as error:
            for path, message in wrong(KINDS[kind], value, error):
                if not any(path[: len(seen)] == seen[: len(path)] for seen in bad):
                    self.problem(line_of(root, path), path, message)
        else:
            if len(self.problems) == before:
                self.loaded.append(Loaded(cast(Document, document), root.line, self.file, root))

    def plain(self, node: Node, path: tuple[Step, ...], bad: list[tuple[Step, ...]], line: int = 0) -> Any:
        """The value of a node; what cannot be read is noted, remembered in `bad` and becomes None."""
        if node.kind == "list":
            return [self.plain(child, (*path, index), bad) for index, child in enumerate(node.children)]
        if node.kind == "mapping":
            return self.mapping(node, path, bad)
        try:
            if (strange := not_text(node.text)) is not None:
                raise ValueError(f"the text contains the character {strange[1]}; remove it")  # noqa: TRY301  one exit
            return meaning(node.text) if node.plain else node.text
        except ValueError as error:
            self.problem(line or node.line, path, str(error))
            bad.append(path)
            return None

    def mapping(self, node: Node, path: tuple[Step, ...], bad: list[tuple[Step, ...]]) -> dict[str, Any]:
        """A mapping with text keys, each once."""
        found: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, child in node.entries():
            key = self.key(key_node, path)
            if key is None:
                bad.append((*path, key_node.text))
            elif key in found:
                again = f"{short(key)} is written twice, first on line {lines[key]}; keep one"
                self.problem(key_node.line, (*path, key), again)
            else:
                lines[key] = key_node.line
                found[key] = self.plain(child, (*path, key), bad, key_node.line)
        return found

    def key(self, node: Node, path: tuple[Step, ...]) -> str | None:
        """The text of a key, or None when it is noted as wrong."""
        message = ""
        if node.kind != "scalar":
            message = f"a key must be text; this key is a {node.kind}"
        elif node.plain and node.text == "<<":
            message = "merge keys '<<' are not supported; write the fields out"
        elif (strange := not_text(node.text)) is not None:
            message = f"a key contains the character {strange[1]}; remove it"
        elif node.plain:
            try:
                meant = meaning(node.text)
            except ValueError as error:
                message = f"a key must be text: {error}"
            else:
                if not isinstance(meant, str):
                    message = f"a key must be text; put {short(node.text)} in quotes"
        if message:
            self.problem(node.line, path, message)
            return None
        return node.text

    def kind_of(self, root: Node, value: dict[str, Any], bad: list[tuple[Step, ...]]) -> str | None:
        """The kind of a document, or None; what is wrong with apiVersion and kind is noted."""
        version, kind = value.get("apiVersion"), value.get("kind")
        if ("apiVersion",) not in bad and version != API_VERSION:
            known = f"write 'apiVersion: {API_VERSION}'"
            message = f"is required; {known}" if version is None else f"unknown version; {known}"
            self.problem(line_of(root, ("apiVersion",)), ("apiVersion",), message)
        if isinstance(kind, str) and kind in KINDS:
            return kind
        if ("kind",) not in bad:
            message = "is required;" if kind is None else "unknown kind;"
            if isinstance(kind, str):
                folded = {name.lower(): name for name in KINDS}
                near = difflib.get_close_matches(kind.lower(), folded, n=1)
                message = f"unknown kind {short(kind)};" + (f" did you mean {folded[near[0]]}?" if near else "")
            self.problem(line_of(root, ("kind",)), ("kind",), f"{message} write one of: {', '.join(KINDS)}")
        return None

    def unique_name(self, root: Node, value: dict[str, Any]) -> None:
        """Note a name that another document of the same kind already has."""
        metadata, kind = value.get("metadata"), value.get("kind")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        if isinstance(name, str) and isinstance(kind, str):
            path = ("metadata", "name")
            line = line_of(root, path)
            first = self.names.setdefault((kind, name), line)
            if first != line:
                again = f"{kind} {short(name)} is already defined on line {first}; give line {line} another name"
                self.problem(line, path, again)


def line_of(root: Node, path: Iterable[Step]) -> int:
    """Line of the field at `path`, or of the nearest written field around it."""
    node, line = root, root.line
    for step in path:
        if node.kind == "list" and isinstance(step, int) and step < len(node.children):
            node = node.children[step]
            line = node.line
        elif node.kind == "mapping":
            entry = next(((key, child) for key, child in node.entries() if key.text == step), None)
            if entry is None:
                break
            line, node = entry[0].line, entry[1]
        else:
            break
    return line
