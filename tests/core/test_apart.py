"""Prefill and decode apart: taken where a recipe starts both, told where none does."""

from __future__ import annotations

from worlds import a_catalog, a_model, a_pool, a_service, a_site, a_tier, a_world, an_engine

from orchestrator.core.asks import asks
from orchestrator.core.enumeration import enumerate_options
from orchestrator.core.fit import Rejected


def test_a_tier_may_read_and_answer_apart_where_a_recipe_starts_both() -> None:
    """What is read beside answers slows them; apart, each keeps its objective with fewer chips."""
    service = a_service(
        rate="100/s",
        tokens=(2000, 200),
        teacher=a_tier(quantization=("bf16",), context=4096, slo={"tpot": "4ms"}, replicas={"min": 1, "max": 99}),
    )
    experts = {"routed": 16, "per_token": 2, "intermediate_size": 512}
    big = a_model(dims={"layers": 16, "heads": 16, "kv_heads": 8, "hidden_size": 1024, "experts": experts})
    site = a_world(a_site("lab", a_pool("npu", nodes=8, chips=8)))

    ways = {}
    for apart in (False, True):
        catalog = a_catalog(big, an_engine("vllm", apart=apart))
        (ask,) = asks(service, catalog)
        assert not isinstance(ask, Rejected)
        ways[apart] = enumerate_options(ask, catalog, site)

    told = [no for no in ways[False][1] if "apart" in no.subject]
    taken = [option for option in ways[True][0] if option.apart]
    together = max(o.prediction.requests_per_s.mid / o.chips for o in ways[True][0] if not o.apart)
    assert told
    assert told[0].need == "a recipe for both roles"
    assert all(option.prediction.requests_per_s.mid / option.chips > together for option in taken)
    assert len(taken) == len(told)
