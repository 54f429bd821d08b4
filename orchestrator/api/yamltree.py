"""YAML text to a tree of nodes that remember their lines, within limits a hostile file cannot pass.

Pure. Called by `orchestrator.api.load`. What a plain scalar means is decided in `orchestrator.api.scalars`; what a
document means is not known here. The tree is built from parser events, without recursion, so depth and alias expansion
are counted before anything is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import yaml

MAX_NODES = 10_000
MAX_DEPTH = 50

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DOCUMENT = re.compile(r"^---(?=\s|$)", re.MULTILINE)
# U+0085, U+2028 and U+2029 end a line for YAML but not for editors, so line numbers would not agree.
_NOT_TEXT = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_YAML_TAGS = "tag:yaml.org,2002:"
_ADVICE = (
    ("did not find expected node content", "a value is missing, or a '[' or '{{' is not closed"),
    ("invalid Unicode character", "an escape such as '\\u' in a text in double quotes names no character"),
    ("cannot start any token", "{char} cannot start a value; put the text in quotes"),
    ("mapping values are not allowed", "unexpected ':'; check the indentation, or quote text that contains ': '"),
    ("found unexpected ':'", "put a space after ':', or quote text that contains ':'"),
    ("could not find expected ':'", "expected 'field: value'; a ':' is missing, or the indentation is wrong"),
    ("did not find expected key", "the indentation does not match the lines above, or a 'field:' is missing"),
    ("did not find expected '-' indicator", "the indentation does not match the list above, or a '-' is missing"),
    ("block sequence entries are not allowed", "a list item '-' cannot stand here; start the list on its own line"),
    ("did not find expected ',' or ']'", "a list opened with '[' is not closed, or a ',' is missing"),
    ("did not find expected ',' or '}'", "a mapping opened with '{{' is not closed, or a ',' is missing"),
    ("unexpected end of stream", "a quoted text is not closed before the document ends"),
    ("unexpected document indicator", "a quoted text is not closed before the next '---'"),
    ("unknown escape character", "unknown '\\' escape in a text in double quotes; use single quotes"),
    ("expected <document start>", "text after the end of a document; separate documents with '---'"),
    ("undefined tag handle", "tags such as '!name' are not allowed; write plain values"),
    ("duplicate %YAML directive", "lines that start with '%' are not allowed; remove them"),
    ("incompatible YAML document", "lines that start with '%' are not allowed; remove them"),
)


class Broken(Exception):
    """The text is not usable YAML from this line on."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


@dataclass(slots=True)
class Node:
    """A scalar with its text, or a list or mapping with its children (of a mapping: key, value, key, value)."""

    kind: Literal["scalar", "list", "mapping"]
    line: int
    text: str = ""
    plain: bool = False  # written without quotes, so its meaning depends on what it looks like
    children: list[Node] = field(default_factory=list)
    nodes: int = 1
    depth: int = 1

    def entries(self) -> Iterator[tuple[Node, Node]]:
        """Key and value nodes of a mapping, in written order."""
        return zip(self.children[::2], self.children[1::2], strict=True)


@dataclass(slots=True)
class Budget:
    """Nodes a file may still use."""

    nodes: int = MAX_NODES

    def take(self, nodes: int, line: int) -> None:
        """Use up nodes; raises `Broken` when the file has too many."""
        self.nodes -= nodes
        if self.nodes < 0:
            raise Broken(line, f"the file has more than {MAX_NODES:,} values with aliases expanded; split it")


def chunks(text: str) -> Iterator[tuple[int, str]]:
    """Cut the text before every `---`, each part with its first line: a broken document must not hide the next."""
    starts = [0, *(match.start() for match in _DOCUMENT.finditer(text)), len(text)]
    line = 1
    for start, end in pairwise(starts):
        if text[start:end].strip():
            yield line, text[start:end]
        line += text.count("\n", start, end)


def not_text(text: str) -> tuple[int, str] | None:
    """Line and name of the first character that is not allowed, if any."""
    found = _NOT_TEXT.search(text)
    return None if found is None else (text.count("\n", 0, found.start()) + 1, f"U+{ord(found.group()):04X}")


def trees(text: str, first_line: int, budget: Budget) -> Iterator[Node]:
    """One tree per document of `text`, whose first line is `first_line` of the file.

    Raises:
        Broken: not YAML, or beyond the limits on nodes and depth, or with tags or aliases that lead nowhere.
    """
    try:
        yield from _trees(yaml.parse(text, Loader=_Loader), first_line, budget)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        offset = min(mark.line, text.rstrip("\n").count("\n")) if mark else 0
        raise Broken(first_line + offset, _syntax(error.problem or "", text.split("\n")[offset])) from error
    except yaml.YAMLError as error:
        raise Broken(first_line, "this is not YAML text") from error
    except (ValueError, RecursionError) as error:  # escapes that name no character reach us as ValueError
        raise Broken(first_line, "this document contains an escape or a number that cannot be read") from error


def _trees(events: Iterator[Any], first_line: int, budget: Budget) -> Iterator[Node]:
    open_nodes: list[Node] = []
    anchors: dict[str, Node] = {}
    for event in events:
        line = first_line + event.start_mark.line
        if isinstance(event, yaml.DocumentStartEvent):
            anchors = {}
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            node = _closed(open_nodes.pop())
        elif isinstance(event, yaml.NodeEvent):
            node = _begun(event, anchors, open_nodes, line)
            budget.take(node.nodes, line)
        else:
            continue
        is_open = isinstance(event, yaml.CollectionStartEvent)
        if len(open_nodes) + node.depth > MAX_DEPTH:
            raise Broken(line, f"nested more than {MAX_DEPTH} levels deep")
        if is_open:
            open_nodes.append(node)
        elif open_nodes:
            open_nodes[-1].children.append(node)
        else:
            yield node


def _closed(node: Node) -> Node:
    """A list or mapping whose children are all there."""
    node.nodes += sum(child.nodes for child in node.children)
    node.depth += max((child.depth for child in node.children), default=0)
    return node


def _begun(event: Any, anchors: dict[str, Node], open_nodes: list[Node], line: int) -> Node:
    """The node that an event names or opens."""
    if isinstance(event, yaml.AliasEvent):
        return _aliased(anchors, str(event.anchor), open_nodes, line)
    node = _opened(event, line)
    if event.anchor is not None:
        anchors[event.anchor] = node
    return node


def _opened(event: Any, line: int) -> Node:
    """A node as its event opens it; explicit tags are refused."""
    if event.tag is not None:
        tag = str(event.tag).replace(_YAML_TAGS, "!!")[:64]
        raise Broken(line, f"the tag {tag!r} is not allowed; write a plain value without a tag")
    if isinstance(event, yaml.ScalarEvent):
        return Node("scalar", line, text=event.value, plain=event.style in (None, ""))
    return Node("list" if isinstance(event, yaml.SequenceStartEvent) else "mapping", line)


def _aliased(anchors: dict[str, Node], name: str, open_nodes: list[Node], line: int) -> Node:
    node, cut = anchors.get(name), name[:64]
    if node is None:
        raise Broken(line, f"'*{cut}' refers to nothing; define '&{cut}' above it in the same document")
    if any(node is opened for opened in open_nodes):
        raise Broken(line, f"'*{cut}' contains itself")
    return node


def _syntax(problem: str, written: str) -> str:
    """What the YAML parser found, as advice."""
    if written.startswith("%"):
        return "lines that start with '%' are not allowed; remove them"
    if "\t" in written[: len(written) - len(written.lstrip())] or "'\\t'" in problem or "tab" in problem:
        return "a tab is used for indentation; YAML allows only spaces"
    char = repr(written.strip()[:1]) if written.strip() else "this"
    for found, advice in _ADVICE:
        if found in problem:
            return f"not valid YAML: {advice.format(char=char)}"
    return f"not valid YAML: {problem[:120] or 'the text breaks off'}"
