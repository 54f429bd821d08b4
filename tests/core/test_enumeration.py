"""All pools at once: what is alike is looked at once."""

from __future__ import annotations

from typing import Any

import pytest
from plans import enumerate_options
from worlds import a_catalog, a_model, a_pool, a_service, a_site, a_tier, a_world

from orchestrator.core.asks import Ask, asks
from orchestrator.core.configurations import Option
from orchestrator.core.enumeration import Enumeration
from orchestrator.core.fit import Rejected


def test_alike_pools_are_looked_at_once_and_the_no_says_so() -> None:
    sites = [a_site(f"s{number}", a_pool("npu", nodes=2, chips=2)) for number in range(3)]
    (ask,) = asks(a_service(student=a_tier(quantization=("fp8",))), a_catalog())
    assert not isinstance(ask, Rejected)

    _, rejections = enumerate_options(ask, a_catalog(), a_world(*sites))

    assert [no.subject for no in rejections] == ["s0/0 and 2 more like it npu vllm fp8"]


def test_an_option_of_one_pool_is_there_in_every_pool_like_it_at_that_pools_price() -> None:
    sites = [a_site(f"s{number}", a_pool("npu", nodes=2, chips=2, price=f"{number + 1}/h")) for number in range(3)]
    (ask,) = asks(a_service(student=a_tier(quantization=("bf16",))), a_catalog())
    assert not isinstance(ask, Rejected)

    options, _ = enumerate_options(ask, a_catalog(), a_world(*sites))

    small = [option for option in options if option.chips == 1]
    assert [(option.configuration.pool.site, option.price_per_h) for option in small] == [
        ("s0", 0.5),
        ("s1", 1.0),
        ("s2", 1.5),
    ]


def options_of(ways: Enumeration, **tier: Any) -> tuple[Option, ...]:
    spec = {key: tier.pop(key) for key in ("tokens", "rate") if key in tier}
    (ask,) = asks(a_service(student=a_tier(quantization=("bf16",), **tier), **spec), ways.catalog)
    assert isinstance(ask, Ask)
    return ways.of(ask)[0]


def test_pools_that_differ_in_link_or_memory_are_no_kind() -> None:
    far = {"rtt": "1s", "bandwidth": "1Gbps"}
    sites = a_site("near", a_pool("npu"), a_pool("npu") | {"memory": "32GiB"}), a_site("far", a_pool("npu"), link=far)

    options = options_of(Enumeration(a_catalog(), a_world(*sites)), slo={"ttft": "500ms"})

    assert {str(option.configuration.pool) for option in options} == {"near/0", "near/1"}
    large, small = (option for option in options if option.chips == 1)
    assert large.usable_bytes == pytest.approx(2 * small.usable_bytes)
    assert small.memory.buffers > large.memory.buffers  # what the engine leaves alone holds fewer of its graphs


def test_what_was_found_for_a_tier_is_not_taken_for_another_that_asks_otherwise() -> None:
    ways = Enumeration(a_catalog(), a_world(a_site("lab", a_pool("npu"))))

    short, long = options_of(ways)[0], options_of(ways, tokens=(200, 16))[0]

    assert long.prediction.requests_per_s.mid < short.prediction.requests_per_s.mid
    assert options_of(ways, slo={"tpot": "1us"}) == ()
    assert options_of(ways, slo={"ttft": "1us"}) == ()


def test_a_wide_replica_is_kept_where_the_tier_may_not_have_several_narrow_ones() -> None:
    dense = a_model(dims={"layers": 16, "heads": 16, "kv_heads": 8, "hidden_size": 2048, "intermediate_size": 8192})
    ways = Enumeration(a_catalog(dense), a_world(a_site("lab", a_pool("npu", chips=2))))
    narrow = options_of(ways)[0].prediction.requests_per_s.mid

    found = options_of(ways, rate=f"{1.5 * narrow:.3f}/s")

    assert [(option.chips, option.beaten) for option in found] == [(1, False), (2, False)]
