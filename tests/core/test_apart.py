"""Prefill and decode apart: taken where a recipe starts both, told where none does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from plans import enumerate_options
from worlds import a_catalog, a_model, a_pool, a_service, a_site, a_tier, a_world, an_engine

from orchestrator.api.site import Site
from orchestrator.core.asks import asks
from orchestrator.core.configurations import Option
from orchestrator.core.fit import Rejected
from orchestrator.core.performance.runner import Role, Workload
from orchestrator.core.performance.serving import predict
from orchestrator.core.runners import runner_of
from orchestrator.core.world import Configuration

EXPERTS = {"routed": 16, "per_token": 2, "intermediate_size": 512}
BIG = a_model(dims={"layers": 16, "heads": 16, "kv_heads": 8, "hidden_size": 1024, "experts": EXPERTS})
CATALOG = a_catalog(BIG, an_engine("vllm", apart=True))


def test_a_tier_may_read_and_answer_apart_where_a_recipe_starts_both() -> None:
    """What is read beside answers slows them; apart, each keeps its objective with fewer chips."""
    service = a_service(
        rate="100/s",
        tokens=(2000, 200),
        teacher=a_tier(quantization=("bf16",), context=4096, slo={"tpot": "4ms"}, replicas={"min": 1, "max": 99}),
    )
    site = a_world(a_site("lab", a_pool("npu", nodes=8, chips=8)))

    ways = {}
    for apart in (False, True):
        catalog = a_catalog(BIG, an_engine("vllm", apart=apart))
        (ask,) = asks(service, catalog)
        assert not isinstance(ask, Rejected)
        ways[apart] = enumerate_options(ask, catalog, site)

    told = [no for no in ways[False][1] if "apart" in no.subject]
    taken = [option for option in ways[True][0] if option.apart]
    together = max(o.prediction.requests_per_s.mid / o.chips for o in ways[True][0] if not o.apart)
    assert told
    assert told[0].need == "a recipe for both roles"
    assert all(option.prediction.requests_per_s.mid / option.chips > together for option in taken)
    each = [f"{option.prediction.requests_per_s.mid / option.chips:.3g}/s on a chip" for option in taken]
    assert [words in no.hint for words, no in zip(each, told, strict=True)] == [True] * len(told)


def taken_apart(*sites: Site, **slo: str) -> tuple[Option, ...]:
    service = a_service(
        rate="100/s",
        tokens=(2000, 200),
        teacher=a_tier(quantization=("bf16",), context=4096, slo={"tpot": "4ms"} | slo, replicas={"max": 99}),
    )
    (ask,) = asks(service, CATALOG)
    assert not isinstance(ask, Rejected)
    return tuple(o for o in enumerate_options(ask, CATALOG, a_world(*sites))[0] if o.apart)


def test_a_unit_takes_and_does_what_its_two_sides_take_and_do() -> None:
    sites = [a_site(name, a_pool("npu", nodes=8, chips=8)) for name in ("one", "two")]

    taken = taken_apart(*sites)

    assert {option.configuration.pool.site for option in taken} == {"one", "two"}
    for option in taken:
        apart, c = option.apart, option.configuration
        assert apart is not None
        assert apart.prefill.pool == c.pool
        assert option.chips == apart.prefills * apart.prefill.parallelism.chips + apart.decodes * c.parallelism.chips
        assert option.chips == sum(nodes * chips for nodes, chips in option.takes) <= 64
        roles: tuple[tuple[Role, Configuration], ...] = ("prefill", apart.prefill), ("decode", c)
        sides = [
            predict(
                replace(runner_of(side, CATALOG, {}), role=role),
                Workload(2000, 200),
                sequences=side.sequences,
                round_trip_s=0.0,
            )
            for role, side in roles
        ]
        read, write = sides
        both = apart.prefills * read.requests_per_s.mid, apart.decodes * write.requests_per_s.mid
        assert option.prediction.requests_per_s.mid == pytest.approx(min(both))
        assert option.prediction.ttft_s.mid == pytest.approx(read.ttft_s.mid + write.ttft_s.mid)
        assert option.prediction.tpot_s.mid <= 0.004


def test_units_larger_than_the_pool_or_slower_than_the_objective_are_none() -> None:
    whole = taken_apart(a_site("lab", a_pool("npu", nodes=8, chips=8)))
    first_s = 0.9 * max(option.prediction.ttft_s.mid for option in whole)
    few = 1, (max(option.chips for option in whole) - 1) // 8

    faster = taken_apart(a_site("lab", a_pool("npu", nodes=8, chips=8)), ttft=f"{first_s * 1000}ms")
    smaller = {nodes: taken_apart(a_site("lab", a_pool("npu", nodes=nodes, chips=8))) for nodes in few}

    assert all(option.prediction.ttft_s.mid <= first_s for option in faster)
    assert all(option.chips <= 8 * nodes for nodes, options in smaller.items() for option in options)
