"""What people name on the command line, looked up in the catalog; a name that means nothing gets the nearest ones.

Called by the commands that answer from the catalog alone. Documents are checked in `orchestrator.api.references`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar, get_args

from orchestrator import wiring
from orchestrator.api.kinds import Catalog
from orchestrator.api.names import nearest_names
from orchestrator.api.quantities import MEMORY
from orchestrator.api.quantization import Quantization
from orchestrator.api.site import Pool
from orchestrator.core.allocation import node_of
from orchestrator.core.cuts import has_experts
from orchestrator.core.runners import known_quantization
from orchestrator.core.sizing import LONGEST_TOKENS, Question
from orchestrator.errors import Invalid
from orchestrator.settings import Settings

T = TypeVar("T")
SHOWN = 8  # names, where none is near
_TOKENS = re.compile(r"([0-9]{1,9})([kKmM]?)")


@dataclass(frozen=True, slots=True)
class FitWish:
    """The options of `headwater fit`, as written."""

    model: str
    chip: str
    chips: int | None = None
    quantization: str | None = None
    engine: str | None = None
    context: str = "4k"
    concurrency: int = 1
    per_node: int | None = None
    memory: str | None = None
    tensor: int | None = None
    pipeline: int | None = None
    expert: bool | None = None


def named(known: Mapping[str, T], name: str, what: str) -> T:
    """The entry of that name. Raises Invalid with the nearest names."""
    if name in known:
        return known[name]
    raise Invalid(f"no {what} is named {name[:80]!r}{did_you_mean(name, known)}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean …?`, or the first of the names there are."""
    near, names = nearest_names(name, known), sorted(known)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"; known: {', '.join(names[:SHOWN])}{more}"


def fit_question(wish: FitWish, settings: Settings) -> tuple[Question, Catalog]:
    """The question that the options ask, and the catalog it is asked of. Raises Invalid for what means nothing."""
    catalog = wiring.catalog(settings)
    model = named(catalog.models, wish.model, "model")
    profile = named(catalog.profiles, wish.chip, "hardware profile")
    cluster = catalog.cluster_of(profile)
    if wish.engine is not None and wish.engine not in profile.spec.engines:
        known = ", ".join(profile.spec.engines) or "none"
        raise Invalid(f"{wish.engine[:80]!r} is no engine of {wish.chip}; its engines: {known}")
    quantization = known_quantization(wish.quantization) if wish.quantization else None
    if wish.quantization and quantization is None:
        near = did_you_mean(wish.quantization, get_args(Quantization))
        raise Invalid(f"no quantization is named {wish.quantization[:80]!r}{near}")
    architecture = model.spec.architecture
    if wish.expert and architecture is not None and not has_experts(architecture):
        raise Invalid(f"--ep: {wish.model} has no experts to spread; leave it out")
    pool = Pool(profile=wish.chip, chips=wish.per_node or node_of(profile, cluster))
    if wish.memory is not None:
        try:
            memory = MEMORY.parse(wish.memory)
        except ValueError as exc:
            raise Invalid(f"--memory: {exc}") from exc
        if not memory:
            raise Invalid(f"--memory: {wish.memory} is no memory of a chip; write one such as 64GiB")
        pool = pool.model_copy(update={"memory": memory})
    question = Question(
        model=model,
        profile=profile,
        pool=pool,
        quantization=quantization,
        engine=wish.engine,
        chips=wish.chips,
        context_tokens=_tokens(wish.context),
        sequences=wish.concurrency,
        tensor=wish.tensor,
        pipeline=wish.pipeline,
        expert=wish.expert,
    )
    return question, catalog


def _tokens(written: str) -> int:
    """`32k` is 32768."""
    match = _TOKENS.fullmatch(written.strip())
    tokens = int(match[1]) * {"": 1, "k": 1 << 10, "m": 1 << 20}[match[2].lower()] if match else 0
    if not 0 < tokens <= LONGEST_TOKENS:
        raise Invalid(f"--context {written[:40]!r} is no number of tokens up to 10m; write one such as 4096, 32k or 1m")
    return tokens
