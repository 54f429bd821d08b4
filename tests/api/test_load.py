"""The loader: good text becomes documents; bad text becomes every problem at once, with line, field and advice."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.api.load import MAX_BYTES, load, load_bytes
from orchestrator.api.service import ModelService, Source
from orchestrator.errors import InvalidSpec, Problem

HEAD = "apiVersion: headwater.dev/v1alpha1\n"
SITE = HEAD + "kind: Site\nmetadata: {name: here}\nspec:\n  role: edge\n  region: cn-east\n  fleet: ray\n  pools:\n"
SERVICE = HEAD + "kind: ModelService\nmetadata: {name: chat}\nspec:\n"
DEMAND = "  demand: {rate: 1/s, input: 60, output: 60}\n"
POOL_FIELDS = "chips, labels, memory, nodes, price, profile, resource, slice, taints"
KINDS = "write one of: ModelService, Site, Model, HardwareProfile, KubernetesProfile, Engine, Calibration"
NAME = "is not a name; use at most 63 lower-case letters, digits, dots and dashes, with a letter or digit at both ends"
QUOTES = "put it in quotes if text is meant, or write"
EMPTY = "the file holds no document; start with 'apiVersion: headwater.dev/v1alpha1' and 'kind:'"
DOCUMENT = "a document is a mapping that starts with apiVersion and kind; this is"
REQUEST = "a typical request, demand.input and demand.output together,"
NODES = "the file has more than 10,000 values with aliases expanded; split it"


def a_pool(fields: str) -> str:
    return SITE + f"  - {{profile: local, {fields}}}\n"


def a_model(written: str) -> str:
    return SERVICE + f"  student:\n    model: {written}\n" + DEMAND


def problems(given_text: str | bytes) -> list[tuple[int, str, str]]:
    with pytest.raises(InvalidSpec) as caught:
        load_bytes(given_text, "f.yaml") if isinstance(given_text, bytes) else load(given_text, "f.yaml")
    assert {problem.file for problem in caught.value.problems} == {"f.yaml"}
    return [(problem.line, problem.path, problem.message) for problem in caught.value.problems]


WRONG = {
    "an empty file": ("", [(0, "", EMPTY)]),
    "only comments": ("# nothing\n---\n# here\n", [(0, "", EMPTY)]),
    "a list": ("- a\n", [(1, "", f"{DOCUMENT} a list")]),
    "a single value": ("\n\nhello\n", [(3, "", f"{DOCUMENT} a single value")]),
    "no apiVersion and no kind": (
        "metadata: {name: a}\n",
        [
            (1, "apiVersion", "is required; write 'apiVersion: headwater.dev/v1alpha1'"),
            (1, "kind", f"is required; {KINDS}"),
        ],
    ),
    "a wrong apiVersion and a misspelt kind": (
        "apiVersion: v1\nkind: modelservice\n",
        [
            (1, "apiVersion", "unknown version; write 'apiVersion: headwater.dev/v1alpha1'"),
            (2, "kind", f"unknown kind 'modelservice'; did you mean ModelService? {KINDS}"),
        ],
    ),
    "a wrong apiVersion does not hide other problems": (
        a_pool("nodes: 0").replace("v1alpha1", "v9"),
        [
            (1, "apiVersion", "unknown version; write 'apiVersion: headwater.dev/v1alpha1'"),
            (9, "spec.pools[0].nodes", "0 must be more than 0"),
        ],
    ),
    "a price without unit": (
        a_pool("price: 11.2"),
        [(9, "spec.pools[0].price", "11.2 has no unit; write a price such as 11.2/h (units: /h, /day, /month)")],
    ),
    "a wrong unit on a line of its own": (
        SERVICE + "  student:\n    model: a\n    slo:\n      ttft: 500mss\n" + DEMAND,
        [
            (
                8,
                "spec.student.slo.ttft",
                "unknown unit 'mss' for a duration; units: h, min, s, ms, us; for example 500ms",
            )
        ],
    ),
    "an unknown field": (
        a_pool("node: 2"),
        [
            (
                9,
                "spec.pools[0].node",
                f"unknown field 'node'; did you mean nodes? known here: {POOL_FIELDS}",
            )
        ],
    ),
    "a field in snake_case": (
        HEAD + "kind: Site\nmetadata: {name: a}\napi_version: x\nspec: {role: edge, region: cn, fleet: ray, "
        "pools: [{profile: local}]}\n",
        [
            (
                4,
                "api_version",
                "unknown field 'api_version'; did you mean apiVersion? known here: apiVersion, kind, metadata, spec",
            )
        ],
    ),
    "a value that is not allowed": (
        a_pool("nodes: 1").replace("role: edge", "role: Edge"),
        [(5, "spec.role", "'Edge' is not allowed; did you mean edge? write one of: edge, cloud")],
    ),
    "a missing field": (
        SERVICE + "  student: {model: a}\n  demand: {rate: 1/s, output: 1}\n",
        [(6, "spec.demand.input", "is required (prompt tokens of a typical request)")],
    ),
    "a quoted number": (
        a_pool("nodes: '2'"),
        [(9, "spec.pools[0].nodes", "expected a whole number without quotes, got '2'")],
    ),
    "a truth value for a number": (
        a_pool("nodes: true"),
        [(9, "spec.pools[0].nodes", "expected a whole number, got true")],
    ),
    "nothing for a number": (a_pool("nodes: "), [(9, "spec.pools[0].nodes", "expected a whole number, got nothing")]),
    "a colon without space": (
        a_pool("nodes:"),
        [(9, "", "not valid YAML: put a space after ':', or quote text that contains ':'")],
    ),
    "not a number": (
        a_pool("nodes: .nan"),
        [(9, "spec.pools[0].nodes", "'.nan' is not a number that can be planned with; write a finite number")],
    ),
    "a huge number": (
        a_pool("nodes: 99999999999999999999"),
        [(9, "spec.pools[0].nodes", "'99999999999999999999' is too large; whole numbers end at 9223372036854775807")],
    ),
    "a huge fraction": (
        a_pool("nodes: 1e999"),
        [(9, "spec.pools[0].nodes", "'1e999' is too large or too long for a number")],
    ),
    "a country that YAML takes for false": (
        SERVICE + "  student: {model: a}\n" + DEMAND + "  policy: {residency: [cn, no]}\n",
        [(7, "spec.policy.residency[1]", f"some YAML readers take 'no' for false; {QUOTES} true or false")],
    ),
    "a base-60 number": (
        a_pool("nodes: 1:30"),
        [
            (
                9,
                "spec.pools[0].nodes",
                f"some YAML readers take '1:30' for a base-60 number; {QUOTES} a plain decimal number",
            )
        ],
    ),
    "a date": (
        SITE.replace("cn-east", "2024-01-01") + "  - {profile: local}\n",
        [(6, "spec.region", f"YAML takes '2024-01-01' for a date; {QUOTES} a plain decimal number")],
    ),
    "a key written twice": (
        a_pool("nodes: 1, nodes: 2"),
        [(9, "spec.pools[0].nodes", "'nodes' is written twice, first on line 9; keep one")],
    ),
    "a key that is a number": (
        SITE.replace("{name: here}", "{name: here, labels: {1: a}}") + "  - {profile: local}\n",
        [(3, "metadata.labels", "a key must be text; put '1' in quotes")],
    ),
    "a merge key": (
        a_pool("<<: {nodes: 1}"),
        [(9, "spec.pools[0]", "merge keys '<<' are not supported; write the fields out")],
    ),
    "no pool": (SITE.replace("pools:", "pools: []"), [(8, "spec.pools", "needs at least 1 entry")]),
    "a name in capitals": (
        a_pool("nodes: 1").replace("here", "My_Site"),
        [(3, "metadata.name", f"'My_Site' {NAME}, such as my-site")],
    ),
    "a model that is no name": (
        a_model("Qwen/Qwen3"),
        [
            (
                6,
                "spec.student.model",
                f"'Qwen/Qwen3' {NAME}, such as qwen-qwen3; or write a mapping with source and licence",
            )
        ],
    ),
    "a model that is a list": (
        a_model("[a]"),
        [(6, "spec.student.model", "expected text, got a list; or write a mapping with source and licence")],
    ),
    "a model source without licence": (
        a_model("{source: ./weights}"),
        [(6, "spec.student.model.licence", "is required (SPDX id of the weights' licence)")],
    ),
    "a rule over several fields": (
        SERVICE + "  student:\n    model: a\n    replicas: {min: 3, max: 2}\n" + DEMAND,
        [(7, "spec.student.replicas", "min 3 is more than max 2")],
    ),
    "a context that the typical request does not fit into": (
        SERVICE + "  student: {model: a, context: 119}\n" + DEMAND,
        [
            (
                4,
                "spec",
                f"student.context is 119 tokens, and {REQUEST} has 120",
            )
        ],
    ),
    "a rate beyond a thousand million a second": (
        SERVICE + "  student: {model: a}\n" + DEMAND.replace("1/s", "1000000001/s"),
        [(6, "spec.demand.rate", "1000000001.0 must be at most 1000000000.0")],
    ),
    "a share with two qualities": (
        SERVICE + "  student: {model: a}\n  teacher: {model: b}\n" + DEMAND + "  escalation:\n    target: 0.9\n"
        "    budget: 50%\n    curve: [{share: 0.1, quality: 0.8}, {share: 10%, quality: 0.9}]\n",
        [(8, "spec.escalation", "curve has the share 0.1 2 times; give each share one quality")],
    ),
    "a share beyond one": (
        SERVICE + "  student: {model: a}\n" + DEMAND + "  escalation:\n    target: 0.9\n    budget: 25\n",
        [(9, "spec.escalation.budget", "25 is not a share; write 0 to 1, or 0% to 100%, such as 25%")],
    ),
    "two documents of one name": (
        a_pool("nodes: 1") + "---\n" + a_pool("nodes: 1"),
        [(13, "metadata.name", "Site 'here' is already defined on line 3; give line 13 another name")],
    ),
    "good and bad documents and broken text": (
        a_pool("nodes: 1") + "---\na: [\n---\n" + a_pool("nodes: 0").replace("here", "there"),
        [
            (11, "", "not valid YAML: a value is missing, or a '[' or '{' is not closed"),
            (21, "spec.pools[0].nodes", "0 must be more than 0"),
        ],
    ),
    "a tab": ("a:\n\tb: 1\n", [(2, "", "a tab is used for indentation; YAML allows only spaces")]),
    "a stray colon": (
        "a: b: c\n",
        [(1, "", "not valid YAML: unexpected ':'; check the indentation, or quote text that contains ': '")],
    ),
    "a Python tag": (
        a_pool("nodes: !!python/object/apply:os.system [x]"),
        [
            (
                9,
                "",
                "the tag '!!python/object/apply:os.system' is not allowed; write a plain value without a tag",
            )
        ],
    ),
    "an alias to nothing": (
        "a: *b\n",
        [(1, "", "'*b' refers to nothing; define '&b' above it in the same document")],
    ),
    "an alias to itself": ("&a [*a]\n", [(1, "", "'*a' contains itself")]),
    "a bomb of aliases": (
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{c}: &{c} [{','.join(['*' + chr(ord(c) - 1)] * 9)}]\n" for c in "bcdefghi"),
        [(5, "", NODES)],
    ),
    "too many values": ("[" + "1," * 10_000 + "]", [(1, "", NODES)]),
    "too deep": ("[" * 100, [(1, "", "nested more than 50 levels deep")]),
    "a control character": ("a: b\nc: \x07\n", [(2, "", "character U+0007 is not allowed in YAML text")]),
    "an escaped control character": (
        SITE.replace("cn-east", '"\\0"') + "  - {profile: local}\n",
        [(6, "spec.region", "the text contains the character U+0000; remove it")],
    ),
    "a directive": ("%YAML 1.2\n---\n", [(1, "", "lines that start with '%' are not allowed; remove them")]),
    "a binary file": (b"\x7fELF\n\x00\x01", [(2, "", "this is a binary file; expected YAML text in UTF-8")]),
    "another encoding": (b"a: b\nc: \xe9\n", [(2, "", "this is not UTF-8 text; save the file as UTF-8")]),
    "too many bytes": (
        b"#" * (MAX_BYTES + 1),
        [(0, "", "the file has 1,048,577 bytes; at most 1,048,576 are read (1 MiB)")],
    ),
}


@pytest.mark.parametrize(("text", "expected"), WRONG.values(), ids=WRONG.keys())
def test_every_problem_is_told_with_line_field_and_advice(
    text: str | bytes, expected: list[tuple[int, str, str]]
) -> None:
    assert problems(text) == expected


def test_good_documents_come_in_written_order_with_their_lines() -> None:
    text = a_pool("nodes: 2") + "---\n# a comment\n" + a_model("{source: ./w, licence: MIT}") + "---\n"

    site, service = load(text, "f.yaml")

    assert (site.line, service.line, service.file) == (1, 12, "f.yaml")
    assert isinstance(service.document, ModelService)
    assert service.document.spec.student is not None
    assert service.document.spec.student.model == Source(source="./w", licence="MIT")
    assert service.line_of(("spec", "student", "model")) == 17


def test_line_ends_and_byte_order_mark_of_other_systems_are_read() -> None:
    text = "\ufeff" + a_pool("nodes: 1").replace("\n", "\r\n")

    assert load_bytes(text.encode("utf-8"), "f.yaml") == load(a_pool("nodes: 1"), "f.yaml")


def test_an_alias_stands_for_what_it_names() -> None:
    text = SITE + "  - &pool {profile: local, nodes: 3}\n  - *pool\n"

    (site,) = load(text, "f.yaml")

    assert [pool.nodes for pool in site.document.spec.pools] == [3, 3]  # type: ignore[union-attr]  # it is a Site


@pytest.mark.parametrize("piece", ["---\n", "? ", "a: b\n---\n", "&a ", "{", "- ", "  f: 1\n", "'", "!!x "])
def test_a_hostile_megabyte_is_refused_in_seconds(piece: str) -> None:
    text = piece * (MAX_BYTES // len(piece))
    started = time.perf_counter()

    problems(text)

    assert time.perf_counter() - started < 5


def refused_or_loaded(given_bytes: bytes) -> None:
    told: tuple[Problem, ...] = ()
    try:
        load_bytes(given_bytes, "f.yaml")
    except InvalidSpec as error:
        told = error.problems or (Problem("no problem", -1, "", "told"),)
    lines = given_bytes.count(b"\n") + given_bytes.count(b"\r") + 1
    assert [p for p in told if not 0 <= p.line <= lines or "Input should" in p.message or "pydantic" in p.message] == []


@settings(max_examples=1000)
@given(st.binary(max_size=400))
def test_random_bytes_never_raise_anything_else(given_bytes: bytes) -> None:
    refused_or_loaded(given_bytes)


QUICKSTART = (Path(__file__).parents[2] / "manifests" / "examples" / "quickstart.yaml").read_bytes()
PIECES = [
    b"\t",
    b"[",
    b"}",
    b"*a",
    b"&a ",
    b"!!str ",
    b"'",
    b'"',
    b"---\n",
    b"- ",
    b": ",
    b"no",
    b"1e999",
    b"\x00",
    b"\xff",
    b"<<: x\n",
    b"{}",
    b"#",
]


@settings(max_examples=1000)
@given(
    cuts=st.lists(
        st.tuples(st.integers(0, len(QUICKSTART)), st.integers(0, 30), st.sampled_from(PIECES) | st.binary(max_size=6)),
        min_size=1,
        max_size=6,
    )
)
def test_damaged_documents_never_raise_anything_else(cuts: list[tuple[int, int, bytes]]) -> None:
    text = QUICKSTART
    for at, length, piece in cuts:
        text = text[:at] + piece + text[at + length :]
    refused_or_loaded(text)
