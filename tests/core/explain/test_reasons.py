"""Rejections are put together by rule and by what was alike, so that a person can read thousands of them."""

from __future__ import annotations

from orchestrator.core.explain.reasons import grouped


def a_no(subject: str, rule: str = "memory", need: str = "80 GiB", have: str = "60 GiB", **more: str) -> dict[str, str]:
    return {"subject": subject, "rule": rule, "need": need, "have": have} | more


def test_rules_keep_their_order_and_count_their_noes() -> None:
    found = grouped([a_no("a", "tpot", "1 ms", "2 ms"), a_no("b"), a_no("c", "tpot", "1 ms", "3 ms")])

    assert [(rule["rule"], rule["count"]) for rule in found] == [("tpot", 2), ("memory", 1)]


def test_within_a_rule_what_was_just_missed_comes_first_whatever_its_unit() -> None:
    noes = [
        a_no("far", need="1.0 TiB", have="60.0 GiB"),
        a_no("words", need="a chip", have="none"),
        a_no("nearest", need="61.0 GiB", have="60.0 GiB"),
        a_no("near", need="1000.0 MiB", have="0.5 GiB"),
    ]

    (rule,) = grouped(noes)

    assert [reason["subjects"] for reason in rule["reasons"]] == [["nearest"], ["near"], ["far"], ["words"]]


def test_a_thousand_alike_are_one_reason_with_a_count_and_a_few_names() -> None:
    ((reason,),) = (rule["reasons"] for rule in grouped(a_no(f"site-{n:04d}") for n in range(1000)))

    assert reason == {
        "need": "80 GiB",
        "have": "60 GiB",
        "subjects": [f"site-{n:04d}" for n in range(5)],
        "count": 1000,
    }


def test_noes_with_different_hints_stay_apart() -> None:
    (rule,) = grouped([a_no("a"), a_no("b", hint="take int4")])

    assert [reason.get("hint") for reason in rule["reasons"]] == [None, "take int4"]
