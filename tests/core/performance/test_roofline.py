"""The step of an engine: two computed by hand, and what must hold for any load."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from steps import a_runner, the_factors
from worlds import a_profile

from orchestrator.api.quantization import Quantization
from orchestrator.core.performance.arithmetic import compute_fact, dense_peak
from orchestrator.core.performance.compiling import compile_terms
from orchestrator.core.performance.roofline import Reached, clock, rates, seconds
from orchestrator.core.performance.terms import Work
from orchestrator.core.world import Parallelism

PER_LAYER = 64 * (4 + 2 * 2) * 16 + 4 * 16 * 64 + 3 * 64 * 128 + 2 * 64
BODY, HEAD = 2 * PER_LAYER + 64, 1000 * 64
MIXTURE = {"experts": {"routed": 8, "per_token": 2, "intermediate_size": 32}}
FAST = {"bandwidth": {"value": "400GB/s", "status": "vendor"}}
LINKS = {"node_link": {"name": "mesh", "group": 8} | FAST, "network": {"name": "roce"} | FAST}


def quarter(one: float, other: float) -> float:
    return float((one**4 + other**4) ** 0.25)


def test_a_decode_step_is_what_the_hand_computes() -> None:
    """One sequence of 24 tokens: weights at half of 100 GB/s, the cache at a quarter, and what is beside them."""
    factors = the_factors(weights=0.5, cache=0.25, layer=1e-3, step=2e-3, sequence=3e-3)
    read = (BODY + HEAD) * 2 / 50e9
    cached = 24 * 2 * 2 * 2 * 16 * 2 / 25e9

    step_s = clock(a_runner(factors=factors)).step_s(1, 24)

    computed = quarter(read, (BODY + HEAD) * 2 / 10e12)
    attended = quarter(cached, 24 * 2 * 2 * 4 * (2 * 16) / 10e12)
    assert step_s == pytest.approx(computed + attended + 2 * 1e-3 + 2e-3 + 3e-3, rel=1e-5)


def test_a_prompt_computes_the_body_for_each_token_and_the_head_once() -> None:
    factors = the_factors(compute=0.5, attention=0.25)
    computed = (2 * BODY * 100 + 2 * HEAD) / 5e12
    attended = 2 * 2 * 4 * (2 * 16) * 100 * 50 / 2.5e12

    step_s = clock(a_runner(factors=factors)).step_s(0, 0, 100, 50)

    assert step_s == pytest.approx(quarter((BODY + HEAD) * 2 / 100e9, computed) + attended, rel=1e-5)


@pytest.mark.parametrize("data", [1, 2])
def test_experts_are_those_that_some_token_of_any_rank_picks_spread_over_all_chips(data: int) -> None:
    terms = compile_terms(a_runner(dims=MIXTURE, cut=Parallelism(tensor=2, data=data, expert=True), chip=LINKS))

    work = terms.work(4, 24)

    touched = 2 * 8 * (1 - (1 - 2 / 8) ** (4 * data)) * 3 * 64 * 32
    assert work.expert_bytes == pytest.approx(touched * 2 / (2 * data))
    assert work.expert_operations == pytest.approx(2 * 4 * data * 2 * 2 * 3 * 64 * 32 / (2 * data))


def test_tensor_ranks_reduce_twice_a_layer_and_data_ranks_send_tokens_to_experts_and_back() -> None:
    terms = compile_terms(a_runner(dims=MIXTURE, cut=Parallelism(tensor=2, data=2, expert=True), chip=LINKS))

    work = terms.work(4, 24)

    reduced = 2 * 2 * 2 * (1 / 2) * 4 * 64 * 2
    met = 4 * (1 - (3 / 4) ** 2)  # chips that the two experts of a token lie on, of four
    sent = 2 * 64 * 3 / 2 * 4 * met * (3 / 4)
    assert work.link_bytes == pytest.approx(reduced + sent)
    dealt = 3 * 2 / 3  # each sending takes as long as three sums among four chips
    assert work.exchanges == pytest.approx(2 * 2 * 1 / 3 + 2 * 2 * dealt)
    assert work.network_bytes == 0


@pytest.mark.parametrize(
    ("program", "nodes", "hidden"), [("SGLang", 2, True), ("SGLang", 1, False), ("Chitu", 2, False)]
)
def test_exchanges_between_nodes_that_share_experts_go_on_beside_computing(
    program: str, nodes: int, *, hidden: bool
) -> None:
    runner = a_runner(program=program, dims=MIXTURE, cut=Parallelism(data=16, expert=True), chip=LINKS)
    terms = compile_terms(replace(runner, nodes=nodes))
    r = rates(terms, the_factors(link=0.5))

    work = terms.work(64, 24)
    whole = seconds(work, r)

    exchanging = work.link_bytes * r.link_byte + work.network_bytes * r.network_byte
    alone = seconds(work._replace(link_bytes=0, network_bytes=0, exchanges=0, waited_s=0), r)
    exchanging += work.exchanges * r.exchange + work.waited_s
    assert exchanging > 0
    assert whole == pytest.approx(quarter(alone, exchanging) if hidden else alone + exchanging)


LATENT = {"heads": 8, "kv_lora_rank": 32, "rope_head_dim": 8, "nope_head_dim": 16, "value_head_dim": 16}
INDEX = {"heads": 4, "head_dim": 8, "top_tokens": 20}


@pytest.mark.parametrize(
    ("mixing", "layers"),
    [
        pytest.param({"grouped": {"heads": 4, "kv_heads": 2, "head_dim": 16}}, 3.0, id="grouped attention is usual"),
        pytest.param({"latent": LATENT}, 4.8, id="latent attention starts more programs"),
        pytest.param({"latent": LATENT | {"indexer": INDEX}}, 6.6, id="and an index more again"),
    ],
)
def test_a_layer_counts_by_the_programs_that_it_starts(mixing: dict[str, object], layers: float) -> None:
    group = {"count": 3, "dense": {"intermediate_size": 8}} | mixing

    assert compile_terms(a_runner(layers=[group])).work(1, 10).layers == pytest.approx(layers)


def test_prompts_meet_compressed_vectors_where_an_index_picks_tokens_and_the_index_scores_all() -> None:
    plain = {"count": 3, "latent": LATENT, "dense": {"intermediate_size": 8}}
    picked = {"count": 3, "latent": LATENT | {"indexer": INDEX}, "dense": {"intermediate_size": 8}}

    whole, some = (compile_terms(a_runner(layers=[group])).work(0, 0, 1000, 500) for group in (plain, picked))

    assert whole.attention_operations == pytest.approx(3 * 2 * 8 * (16 + 8 + 16) * 1000 * 500)
    scored = 3 * 2 * 4 * 8 / 2 * 1000 * 500  # in half the time that a wide type takes
    assert some.attention_operations == pytest.approx(3 * 2 * 8 * (2 * 32 + 8) * 1000 * 20 + scored)


def test_what_leaves_a_node_goes_over_the_network() -> None:
    near = {"node_link": {"name": "mesh", "group": 4} | FAST, "network": {"name": "roce"} | FAST}
    whole = compile_terms(a_runner(cut=Parallelism(tensor=4), chip=near)).work(1, 24)
    apart = compile_terms(a_runner(cut=Parallelism(tensor=8), chip=near, dims={"heads": 8, "kv_heads": 8})).work(1, 24)

    assert whole.network_bytes == 0
    assert apart.network_bytes == pytest.approx(2 * 2 * 2 * (1 / 2) * 64 * 2 / 4)


def test_a_latent_cache_is_read_whole_by_every_tensor_rank() -> None:
    latent = {"heads": 8, "kv_lora_rank": 32, "rope_head_dim": 8, "nope_head_dim": 16, "value_head_dim": 16}
    layers = [{"count": 2, "latent": latent, "dense": {"intermediate_size": 8}}]
    one, four = (
        compile_terms(a_runner(layers=layers, cut=Parallelism(tensor=tensor))).work(1, 100) for tensor in (1, 4)
    )

    assert one.cache_bytes == four.cache_bytes == 2 * 100 * (32 + 8) * 2


def test_a_window_and_an_index_bound_what_is_read() -> None:
    attention = {"heads": 4, "kv_heads": 2, "head_dim": 16}
    windowed = [{"count": 1, "grouped": attention | {"window": 10}, "dense": {"intermediate_size": 8}}]
    terms = compile_terms(a_runner(layers=windowed))

    assert terms.work(1, 5).cache_bytes == 5 * 2 * 2 * 16 * 2
    assert terms.work(1, 1000).cache_bytes == 10 * 2 * 2 * 16 * 2


@pytest.mark.parametrize(
    ("layer", "pairs"),
    [
        pytest.param({"window": 10}, 10, id="a window"),
        pytest.param({"window": 10, "tokens_per_entry": 4}, 10 + 500 / 4, id="and entries"),
        pytest.param(
            {"window": 10, "tokens_per_entry": 4, "indexer": {"heads": 1, "head_dim": 8, "top_tokens": 20}},
            10 + 20,
            id="and the entries that an index picks",
        ),
    ],
)
def test_compressed_attention_reads_over_a_prompt(layer: dict[str, object], pairs: float) -> None:
    ranks = {"q_lora_rank": 16, "o_lora_rank": 16, "o_groups": 2}
    group = {"count": 3, "compressed": {"heads": 8, "head_dim": 32} | ranks | layer, "dense": {"intermediate_size": 8}}

    work = compile_terms(a_runner(layers=[group])).work(0, 0, 1000, 500)

    assert work.attention_operations == pytest.approx(3 * 4 * 8 * 32 * 1000 * pairs)


def test_a_narrow_type_is_worth_less_than_its_peak() -> None:
    """Twice the peak counts as its root, and keeps the share `narrow` of that."""
    peaks = {"bf16": {"value": "10TFLOPS", "status": "vendor"}, "fp8": {"value": "20TFLOPS", "status": "vendor"}}
    runner = a_runner(chip={"peaks": peaks}, factors=the_factors(narrow=0.5))
    terms = compile_terms(runner)
    assert (terms.peak, terms.narrow) == (10e12, 0)

    narrow = compile_terms(type(runner)(runner.architecture, "fp8", *[getattr(runner, n) for n in ORDER]))

    assert (narrow.peak, narrow.narrow) == (pytest.approx(10e12 * 2**0.5), 1)


ORDER = ("profile", "engine", "cut", "nodes")
loads = st.tuples(st.floats(1, 500), st.floats(1, 1e5), st.floats(0, 8192))


@given(loads, st.sampled_from(sorted(Reached._fields)[:3]), st.floats(1.01, 2))
def test_whoever_reaches_more_is_never_slower(load: tuple[float, float, float], name: str, more: float) -> None:
    slow = clock(a_runner(factors=the_factors(weights=0.4, cache=0.4, compute=0.4, attention=0.4)))
    changed = {"weights": 0.4, "cache": 0.4, "compute": 0.4, "attention": 0.4}
    fast = clock(a_runner(factors=the_factors(**changed | {name: 0.4 * more})))
    sequences, context, prompt = load

    assert fast.step_s(sequences, context, prompt, prompt / 2) <= slow.step_s(sequences, context, prompt, prompt / 2)


@given(loads, st.floats(1, 100), st.floats(1, 1e4), st.floats(1, 1000))
def test_more_work_is_never_faster(load: tuple[float, float, float], more: float, longer: float, read: float) -> None:
    sequences, context, prompt = load
    step_s = clock(a_runner()).step_s

    now = step_s(sequences, context, prompt, 100)

    assert step_s(sequences + more, context, prompt, 100) >= now
    assert step_s(sequences, context + longer, prompt, 100) >= now
    assert step_s(sequences, context, prompt + read, 100) >= now


def test_the_formula_takes_arrays_as_it_takes_numbers() -> None:
    np = pytest.importorskip("numpy")
    one = clock(a_runner())
    works = [one.terms.work(sequences, 100) for sequences in (1, 7, 40)]

    together = seconds(Work._make(np.array(works).T), one.rates)

    assert together.tolist() == pytest.approx([seconds(work, one.rates) for work in works])


@pytest.mark.parametrize(
    ("quantization", "peaks", "dtype"),
    [
        pytest.param("w4a4", ("int8", "int4"), "int4", id="the narrowest that does"),
        pytest.param("w4a4", ("bf16", "int8"), "int8", id="the next wider"),
        pytest.param("w4a16", ("int8", "bf16"), "bf16", id="small weights alone"),
        pytest.param("w4a16", ("fp16",), "fp16", id="without bf16"),
        pytest.param("fp8", ("bf16", "int8"), None, id="no path"),
    ],
)
def test_arithmetic(quantization: Quantization, peaks: tuple[str, ...], dtype: str | None) -> None:
    facts = {one: {"value": "1TFLOPS", "status": "vendor"} for one in peaks}

    found = compute_fact(a_profile("npu", kind="npu", peaks=facts), quantization)

    assert (found and found[0]) == dtype


def test_weights_without_a_path_are_widened_and_computed_wide() -> None:
    facts = {"bf16": {"value": "1TFLOPS", "status": "vendor"}}

    assert dense_peak(a_profile("npu", kind="npu", peaks=facts), "fp8") == 1e12
