"""Does a model fit on so many chips; what longest context, most sequences and fewest chips would do? Pure.

The question of one replica, before any site or price: used by `headwater fit`. Placing services is
`orchestrator.core.placement`. Every no carries its numbers; what fits says what it rests on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from orchestrator.api.architecture import Architecture
from orchestrator.api.cluster import KubernetesProfile
from orchestrator.api.engine import Engine
from orchestrator.api.hardware import HardwareProfile
from orchestrator.api.kinds import Catalog
from orchestrator.api.model import Model
from orchestrator.api.quantization import Quantization
from orchestrator.api.site import Pool
from orchestrator.core import fit
from orchestrator.core.allocation import accepted_counts, check_count
from orchestrator.core.checkpoints import Checkpoint, checkpoint_for, readable_quantizations
from orchestrator.core.cuts import divides_heads, heads, show_cut, whole_cut
from orchestrator.core.fit import Rejected, Why
from orchestrator.core.memory import Memory, chip_memory, edge_memory, usable_bytes, whole_bytes
from orchestrator.core.performance import compute_fact
from orchestrator.core.world import Parallelism

LONGEST_TOKENS = 10_000_000  # where the model says no limit
MOST_SEQUENCES = 65_536
MOST_NODES = 64


@dataclass(frozen=True, slots=True)
class Question:
    """One replica of a model on chips of one kind.

    Attributes:
        pool: one node: chips in it, memory and labels as its tools report them.
        chips: of the replica; None asks for the fewest that do.
        tensor: ranks of each kind of parallelism, together all chips; None leaves the usual cut.
    """

    model: Model
    profile: HardwareProfile
    pool: Pool
    quantization: Quantization | None
    engine: str | None
    chips: int | None
    context_tokens: int
    sequences: int
    tensor: int | None = None
    pipeline: int | None = None
    expert: bool | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What one engine and one checkpoint come to.

    Attributes:
        refused: why it does not fit; None when it does.
        memory: of the fullest chip; None when a rule said no before anything was added up.
        longest_tokens: longest context that fits with the same sequences; 0 when none.
        most_sequences: most sequences that fit with the same context; 0 when none.
        fewest_chips: that fit the question; None when no number up to 64 nodes does.
    """

    engine: str
    checkpoint: Checkpoint
    cut: Parallelism
    nodes: int
    refused: Rejected | None
    memory: Memory | None
    whole_bytes: int
    usable_bytes: int
    longest_tokens: int
    most_sequences: int
    fewest_chips: int | None


def answer(question: Question, catalog: Catalog) -> tuple[Answer | None, tuple[Rejected, ...]]:
    """The first engine and checkpoint of the chip that fit, and why those before them do not.

    When none fits, the first that can be loaded. What nobody verified that the engine reads comes last, unless the
    engine was asked for. None comes with at least one rejection.
    """
    rejections: list[Rejected] = []
    answers: list[Answer] = []
    a, profile = question.model.spec.architecture, question.profile
    subject = f"{question.model.metadata.name} on {profile.metadata.name}"
    if a is None:
        return None, (Rejected(subject, Why.UNKNOWN, "dimensions of the model", "not published"),)
    if whole_bytes(profile, question.pool) is None:
        hint = "say it with --memory, as the node's tool reports it"
        return None, (Rejected(subject, Why.UNKNOWN, "memory of the chip", "no figure", hint),)
    if (refused := _too_long(question, subject)) is not None:
        return None, (refused,)
    for engine, quantization in _ways(question, catalog):
        name = f"{subject} {engine.metadata.name} {quantization}"
        checkpoint = checkpoint_for(question.model, engine, profile, quantization, name)
        if isinstance(checkpoint, Rejected):
            rejections.append(checkpoint)
        elif compute_fact(profile, quantization) is None:
            have = ", ".join(profile.spec.peaks) or "none"
            rejections.append(Rejected(name, Why.DTYPE, f"arithmetic for {quantization}", have))
        else:
            one = _Sizes(a, question, engine, checkpoint, catalog.cluster_of(profile), name).answer()
            answers.append(one)
            rejections += [one.refused] if one.refused else []
    if not rejections:
        known = ", ".join(profile.spec.engines) or "none"
        rejections.append(Rejected(subject, Why.ENGINE, question.engine or "an engine", known))
    best = min(answers, key=lambda one: _rank(question, one), default=None)
    return best, tuple(rejections)


def _rank(question: Question, one: Answer) -> tuple[bool, bool, int]:
    """What is verified, then what fits, in the order tried; of what does not fit, what needs the fewest chips."""
    unsure = not (one.checkpoint.verified or question.engine)
    most = one.fewest_chips or MOST_NODES * question.pool.chips + 1
    return unsure, one.refused is not None, most if one.refused else 0


def _too_long(question: Question, subject: str) -> Rejected | None:
    longest = question.model.spec.context
    if longest is None or question.context_tokens <= longest:
        return None
    return Rejected(subject, Why.CONTEXT, f"{question.context_tokens} tokens", f"{longest} tokens")


def _ways(question: Question, catalog: Catalog) -> Iterator[tuple[Engine, Quantization]]:
    """Engines in the profile's order, each with the quantization asked for, or the model's own and then the others."""
    native = question.model.spec.native
    for name in question.profile.spec.engines:
        engine = catalog.engines.get(name)
        if engine is None or (question.engine and question.engine != name):
            continue
        if question.quantization:
            yield engine, question.quantization
            continue
        others = readable_quantizations(question.model, engine, question.profile)
        if native is not None:
            yield engine, native
        yield from ((engine, other) for other in _wide_first(others) if other != native)


def _wide_first(quantizations: tuple[Quantization, ...]) -> tuple[Quantization, ...]:
    """Those that lose least first."""
    order = ("bf16", "fp16", "fp8", "w8a8", "w8a16", "int8")
    return tuple(sorted(quantizations, key=lambda one: (order.index(one) if one in order else len(order), one)))


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Sizes of one way to run the model, for any number of chips, sequences and tokens."""

    a: Architecture
    question: Question
    engine: Engine
    checkpoint: Checkpoint
    cluster: KubernetesProfile | None
    subject: str

    def answer(self) -> Answer:
        q = self.question
        fewest = self._fewest(q)
        chips = q.chips or fewest or self._counts()[-1]
        cut = self._cut(chips)
        refused = self._refused(cut, chips)
        memory = None if refused else self._memory(cut, q.sequences, q.context_tokens)
        if memory is not None:
            refused = fit.fits(self._named(cut, chips), memory.total, self._usable())
        longest = most = 0
        if memory is not None:
            limit = q.model.spec.context or LONGEST_TOKENS
            longest = _largest(limit, lambda tokens: self._fits(cut, q.sequences, tokens))
            most = _largest(MOST_SEQUENCES, lambda count: self._fits(cut, count, q.context_tokens))
        return Answer(
            engine=self.engine.metadata.name,
            checkpoint=self.checkpoint,
            cut=cut,
            nodes=self._nodes(chips),
            refused=refused,
            memory=memory,
            whole_bytes=whole_bytes(q.profile, q.pool) or 0,
            usable_bytes=self._usable(),
            longest_tokens=longest,
            most_sequences=most,
            fewest_chips=fewest,
        )

    def _fewest(self, q: Question) -> int | None:
        """The fewest chips, in the usual cut, that platform and memory allow."""
        usual = replace(self, question=replace(q, tensor=None, pipeline=None, expert=None))
        for chips in self._counts():
            cut = usual._cut(chips)  # noqa: SLF001  the same class
            if self._refused(cut, chips) is None and self._fits(cut, q.sequences, q.context_tokens):
                return chips
        return None

    def _counts(self) -> tuple[int, ...]:
        per_node = self.question.pool.chips
        if self.question.profile.spec.kind == "cpu":
            return (1,)
        within = accepted_counts(self.cluster, self.question.pool)
        return within + tuple(per_node * nodes for nodes in range(2, MOST_NODES + 1) if per_node in within)

    def _cut(self, chips: int) -> Parallelism:
        q = self.question
        usual = whole_cut(self.a, chips, q.pool.chips)
        if q.tensor is None and q.pipeline is None:
            return usual if q.expert is None else replace(usual, expert=q.expert)
        tensor = q.tensor or max(1, min(chips, q.pool.chips) // (q.pipeline or 1))
        pipeline = q.pipeline or 1
        expert = usual.expert if q.expert is None else q.expert
        return Parallelism(tensor, pipeline, max(1, chips // (tensor * pipeline)), expert)

    def _refused(self, cut: Parallelism, chips: int) -> Rejected | None:
        """What the platform or the heads say about so many chips."""
        per_node = self.question.pool.chips
        if self.question.profile.spec.kind == "cpu":
            return None if chips == 1 else Rejected(self.subject, Why.COUNT, f"{chips} machines", "1 for a replica")
        named = self._named(cut, chips)
        if chips > per_node and chips % per_node:
            return Rejected(named, Why.COUNT, f"{chips} chips", f"whole nodes of {per_node}", _next(chips, per_node))
        refused = check_count(self.cluster, self.question.pool, min(chips, per_node), named)
        if refused is not None:
            return refused
        if cut.chips != chips:
            have = f"{cut.tensor} x {cut.pipeline} ranks"
            return Rejected(named, Why.COUNT, f"{chips} chips", have, "choose --tp and --pp that divide the chips")
        if not divides_heads(self.a, cut.tensor):
            have = f"{', '.join(map(str, heads(self.a)))} heads"
            more = [n for n in self._counts() if n > chips and divides_heads(self.a, min(n, per_node))]
            hint = f"take {more[0]}" if more else "choose --tp"
            return Rejected(named, Why.COUNT, f"heads that divide by {cut.tensor}", have, hint)
        return None

    def _memory(self, cut: Parallelism, sequences: int, tokens: int) -> Memory:
        quantization = self.checkpoint.quantization
        if self.engine.spec.recipe == "edge":
            return edge_memory(self.a, quantization, None, sequences=sequences, context_tokens=tokens)
        board = self.question.profile.spec.place == "edge" or self.question.profile.spec.kind == "cpu"
        return chip_memory(self.a, quantization, cut, sequences=sequences, context_tokens=tokens, board=board)

    def _fits(self, cut: Parallelism, sequences: int, tokens: int) -> bool:
        return self._memory(cut, sequences, tokens).total <= self._usable()

    def _usable(self) -> int:
        return usable_bytes(self.question.profile, self.question.pool)

    def _nodes(self, chips: int) -> int:
        return -(-chips // self.question.pool.chips)

    def _named(self, cut: Parallelism, chips: int) -> str:
        return f"{self.subject} {show_cut(cut, self._nodes(chips))}"


def _next(chips: int, per_node: int) -> str:
    return f"take {-(-chips // per_node) * per_node}"


def _largest(limit: int, works: Callable[[int], bool]) -> int:
    """The largest number from 1 to `limit` that works, when all smaller ones do; 0 when not even 1 does."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if works(middle) else (low, middle - 1)
    return low


def node_of(profile: HardwareProfile, cluster: KubernetesProfile | None) -> int:
    """Chips in a usual node: the largest count a pod may ask for, else the group its link connects."""
    counts = cluster.spec.counts if cluster else ()
    link = profile.spec.node_link
    return max(counts) if counts else min(link.group if link else 1, 16)
