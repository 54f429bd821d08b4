"""All pools at once: what is alike is looked at once."""

from __future__ import annotations

from worlds import a_catalog, a_pool, a_service, a_site, a_tier, a_world

from orchestrator.core.asks import asks
from orchestrator.core.enumeration import enumerate_options
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
