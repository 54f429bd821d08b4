"""SPDX expressions: what named licences permit, and one sentence for what is no expression."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.api.spdx import LONGEST, missing, parse, permits, same

QWEN = "MIT AND LicenseRef-Qwen-Research"


@pytest.mark.parametrize(
    ("named", "licence", "lacking"),
    [
        pytest.param(["MIT"], "MIT", [], id="the same id"),
        pytest.param(["mit"], "MIT", [], id="ids have no case"),
        pytest.param(["MIT"], "MIT-0", ["MIT-0"], id="another id with the same beginning"),
        pytest.param(["MIT"], QWEN, ["LicenseRef-Qwen-Research"], id="AND needs every part"),
        pytest.param(["MIT", "LicenseRef-Qwen-Research"], QWEN, [], id="AND with every part"),
        pytest.param(["LicenseRef-Qwen-Research AND MIT"], QWEN, [], id="the whole by name, in any order"),
        pytest.param([QWEN], "LicenseRef-Qwen-Research", ["LicenseRef-Qwen-Research"], id="a whole is not its part"),
        pytest.param(["MIT"], "GPL-3.0-only OR MIT", [], id="OR needs one part"),
        pytest.param(["ISC"], "(A AND B) OR C", ["C"], id="OR lacks its shortest part"),
        pytest.param(["A", "C"], "A AND (B OR C)", [], id="parentheses"),
        pytest.param(["A"], "A AND B OR C", ["B"], id="AND binds before OR"),
        pytest.param(["C"], "A and B or C", [], id="operators have no case"),
        pytest.param(["GPL-3.0-only"], "GPL-2.0+", [], id="a later version may be chosen"),
        pytest.param(["GPL-3.0-only"], "GPL-2.0-or-later", [], id="or-later is plus"),
        pytest.param(["GPL-2.0-only"], "GPL-2.0", [], id="only is the version alone"),
        pytest.param(["GPL-2.0+"], "GPL-3.0-only", [], id="later versions are named"),
        pytest.param(["GPL-3.0-only"], "GPL-2.0-only", ["GPL-2.0-only"], id="an earlier version is not"),
        pytest.param(["GPL-2.0-only"], "GPL-3.0+", ["GPL-3.0+"], id="nothing before a plus"),
        pytest.param(["GPL-2.0+"], "LGPL-3.0", ["LGPL-3.0"], id="versions of another family"),
        pytest.param(["Apache-2.0"], "Apache-2.0 WITH LLVM-exception", ["Apache-2.0 WITH LLVM-exception"], id="WITH"),
        pytest.param(["Apache-2.0 with llvm-exception"], "Apache-2.0 WITH LLVM-exception", [], id="WITH by name"),
        pytest.param(["MIT"], "NOASSERTION", ["NOASSERTION"], id="nothing is asserted"),
        pytest.param(["NOASSERTION"], "NOASSERTION", [], id="nothing is asserted, by name"),
        pytest.param(["DocumentRef-a:LicenseRef-b"], "DocumentRef-a:LicenseRef-b", [], id="a text in another document"),
    ],
)
def test_named_licences_permit_an_expression_or_lack(named: list[str], licence: str, lacking: list[str]) -> None:
    known = [parse(one) for one in named]

    assert [str(term) for term in missing(known, parse(licence))] == lacking
    assert permits(known, parse(licence)) is not bool(lacking)


def test_groups_of_one_kind_are_one_group() -> None:
    assert same(parse("A AND (B AND C)"), parse("(c and b) AND a"))
    assert not same(parse("A AND B"), parse("A OR B"))
    assert str(parse("((A OR B)) AND (C AND D)")) == "(A OR B) AND C AND D"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "an empty text is no licence"),
        ("  ", "an empty text is no licence"),
        ("Apache 2.0", "'Apache 2.0' is no SPDX expression; join words with AND or OR, or write .* such as Apache-2.0"),
        ("MIT AND", "expected a licence id and found the end"),
        ("AND MIT", "expected a licence id and found 'AND'"),
        ("MIT OR OR ISC", "expected a licence id and found 'OR'"),
        ("MIT WITH (A)", r"expected the id of an exception and found '\('"),
        ("(MIT", r"not closed; write '\)'"),
        ("MIT)", r"'\)' is too much"),
        ("MIT & ISC", "'&' is too much"),
        ("a/b", "expected a licence id and found 'a/b'"),
        ("MIT\0", r"found 'MIT\\x00'"),
        ("lizenz-ä", "expected a licence id"),
        ("(" * LONGEST, "expected a licence id and found the end"),
        ("x" * (LONGEST + 1), f"at most {LONGEST} characters, this one has {LONGEST + 1}"),
    ],
)  # fmt: skip
def test_what_is_no_expression_gets_one_sentence(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(text)


@given(st.text(alphabet="ABab-.+() \t\0é1OoRrNnDdWwIiTtHh", max_size=LONGEST))
def test_any_text_is_an_expression_or_a_sentence(text: str) -> None:
    try:
        found = parse(text)
    except ValueError as error:
        said = str(error)
    else:
        said = ""
        assert len(str(found)) > LONGEST or same(parse(str(found)), found)
        assert permits([found], found)
        assert permits([], found) is False
    assert "\n" not in said
