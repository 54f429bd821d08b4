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
from orchestrator.core.checkpoints import Checkpoint, bits, checkpoint_for, worth_trying
from orchestrator.core.cuts import shares_heads, show_cut, show_heads, spans_nodes, whole_cut
from orchestrator.core.fit import Rejected, Why
from orchestrator.core.memory import Memory, chip_memory, edge_memory, reserved_bytes, usable_bytes, whole_bytes
from orchestrator.core.performance.arithmetic import compute_fact
from orchestrator.core.world import Parallelism

LONGEST_TOKENS = 10 << 20  # asked for at most, and looked for where the model says no limit
MOST_SEQUENCES = 65_536
MOST_NODES = 64


@dataclass(frozen=True, slots=True)
class Question:
    """One replica of a model on chips of one kind.

    Attributes:
        pool: one node: chips in it, memory and labels as its tools report them.
        chips: of the replica; None asks for the fewest that do.
        tensor: tensor ranks; None leaves the usual cut.
        pipeline: pipeline stages; what chips are left after both are data ranks.
        expert: experts are spread over all chips; None leaves the usual.
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
        fewest_chips: that fit the question in the usual cut; None when no number up to 64 nodes does.
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
        return None, (Rejected(subject, Why.UNKNOWN, "dimensions of the model", "none that are published"),)
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
            if one.refused is None and (checkpoint.verified or question.engine):
                break
            rejections += [one.refused] if one.refused else []
    if not rejections and not answers:
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
        tried = worth_trying(question.model, engine, question.profile)
        yield from ((engine, one) for one in sorted(tried, key=lambda one: (one != native, *_distance(one, native))))


def _distance(quantization: Quantization, native: Quantization | None) -> tuple[bool, int, int, str]:
    """Smaller for what is nearer to the organisation's own weights; what is converted to GGUF comes last."""
    order = ("bf16", "fp16", "fp8", "w8a8", "w8a16", "int8")
    place = order.index(quantization) if quantization in order else len(order)
    apart = abs(bits(quantization) - bits(native or "bf16"))
    return quantization.startswith("gguf"), apart, place, quantization


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
        usual = replace(self, question=replace(q, tensor=None, pipeline=None, expert=None))
        fewest = usual._fewest()  # noqa: SLF001  the same class
        chips = q.chips or self._fewest() or self._most()
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

    def _fewest(self) -> int | None:
        """The fewest chips that platform and memory allow, cut as the question says."""
        q = self.question
        fitting = (n for n in self._allowed() if self._fits(self._cut(n), q.sequences, q.context_tokens))
        return next(fitting, None)

    def _most(self) -> int:
        """The most chips that the platform allows; without any, as many as the ranks asked for, to say why not."""
        q = self.question
        return max(self._allowed(), default=(q.tensor or 1) * (q.pipeline or 1))

    def _allowed(self) -> Iterator[int]:
        return (chips for chips in self._counts() if self._refused(self._cut(chips), chips) is None)

    def _counts(self) -> tuple[int, ...]:
        per_node = self.question.pool.chips
        if self.question.profile.spec.kind == "cpu":
            return (1,)
        within = accepted_counts(self.cluster, self.question.pool)
        over = per_node in within and spans_nodes(self.question.profile, self.question.pool)
        return within + tuple(per_node * nodes for nodes in range(2, MOST_NODES + 1) if over)

    def _cut(self, chips: int) -> Parallelism:
        q = self.question
        usual = whole_cut(self.a, chips, q.pool.chips)
        expert = usual.expert and q.expert is not False
        if q.tensor is None and q.pipeline is None:
            return replace(usual, expert=expert)
        pipeline = q.pipeline or 1
        tensor = q.tensor or max(1, min(chips // pipeline, q.pool.chips))
        return Parallelism(tensor, pipeline, max(1, chips // (tensor * pipeline)), expert)

    def _refused(self, cut: Parallelism, chips: int) -> Rejected | None:
        """What the platform, the layers or the heads say about so many chips."""
        named = self._named(cut, chips)
        return self._miscounted(chips, named) or self._miscut(cut, chips, named)

    def _miscounted(self, chips: int, named: str) -> Rejected | None:
        profile, per_node = self.question.profile, self.question.pool.chips
        if profile.spec.kind == "cpu" and chips > 1:
            return Rejected(self.subject, Why.COUNT, f"{chips} machines", "1 for a replica")
        if chips > per_node and not spans_nodes(profile, self.question.pool):
            return Rejected(named, Why.COUNT, f"{chips} chips", f"{per_node} on a board, and boards share no replica")
        if chips > per_node and chips % per_node:
            hint = f"take {-(-chips // per_node) * per_node}"
            return Rejected(named, Why.COUNT, f"{chips} chips", f"whole nodes of {per_node}", hint)
        return check_count(self.cluster, self.question.pool, min(chips, per_node), named)

    def _miscut(self, cut: Parallelism, chips: int, named: str) -> Rejected | None:
        layers = sum(group.count for group in self.a.layers)
        if cut.chips != chips:
            have = f"{cut.tensor} tensor x {cut.pipeline} pipeline ranks"
            return Rejected(named, Why.COUNT, f"{chips} chips", have, "choose --tp and --pp that divide the chips")
        if cut.pipeline > layers:
            return Rejected(named, Why.COUNT, f"a layer for each of {cut.pipeline} stages", f"{layers} layers")
        if not shares_heads(self.a, cut.tensor):
            node = self.question.pool.chips
            more = [n for n in self._counts() if n > chips and shares_heads(self.a, min(n, node))]
            hint = f"take {more[0]}" if more else "choose --tp"
            need = f"heads that {cut.tensor} ranks share evenly"
            return Rejected(named, Why.COUNT, need, show_heads(self.a), hint)
        return None

    def _memory(self, cut: Parallelism, sequences: int, tokens: int) -> Memory:
        quantization = self.checkpoint.quantization
        if self.engine.spec.recipe == "edge":
            return edge_memory(self.a, quantization, None, sequences=sequences, context_tokens=tokens)
        board = self.question.profile.spec.place == "edge" or self.question.profile.spec.kind == "cpu"
        return chip_memory(
            self.a,
            quantization,
            cut,
            sequences=sequences,
            context_tokens=tokens,
            reserved_bytes=reserved_bytes(self.question.profile, self.question.pool),
            board=board,
        )

    def _fits(self, cut: Parallelism, sequences: int, tokens: int) -> bool:
        return self._memory(cut, sequences, tokens).total <= self._usable()

    def _usable(self) -> int:
        return usable_bytes(self.question.profile, self.question.pool)

    def _nodes(self, chips: int) -> int:
        return -(-chips // self.question.pool.chips)

    def _named(self, cut: Parallelism, chips: int) -> str:
        return f"{self.subject} {show_cut(cut, self._nodes(chips))}"


def _largest(limit: int, works: Callable[[int], bool]) -> int:
    """The largest number from 1 to `limit` that works, when all smaller ones do; 0 when not even 1 does."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if works(middle) else (low, middle - 1)
    return low
