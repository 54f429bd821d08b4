"""All layers and what stands around them to one architecture that counts exactly what is stored.

Pure. What one layer is made of is decided in `orchestrator.adapters.imports.layers`. Called by the readers of tensors
and of GGUF beside it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.adapters.imports.layers import Given, Parts, Shape, layer
from orchestrator.api.architecture import MOST_LAYERS, Architecture, Component
from orchestrator.core.architecture import parameters
from orchestrator.errors import Invalid, Refused

EMBEDDING, HEAD = "embedding", "head"


@dataclass(slots=True)
class Pieces:
    """Tensors sorted by where they belong, each by the part it plays."""

    outside: dict[str, Shape] = field(default_factory=dict)
    layers: dict[int, dict[str, Shape]] = field(default_factory=dict)
    beside: dict[str, int] = field(default_factory=dict)  # parameters of towers and the like, by name
    drafts: set[str] = field(default_factory=set)  # layers that predict several tokens; not counted

    @property
    def total(self) -> int:
        """Parameters of everything that counts."""
        decoder = [self.outside, *self.layers.values()]
        return sum(math.prod(shape) for part in decoder for shape in part.values()) + sum(self.beside.values())


def assemble(pieces: Pieces, given: Callable[[int], Given], *, count: int | None = None) -> Architecture:
    """The architecture of these tensors; `parameters(it).total` is `pieces.total`.

    Args:
        pieces: the tensors.
        given: what is known of a layer besides its shapes, by its index.
        count: layers there should be, where that is said.

    Raises:
        Invalid: no embedding, or layers missing.
        Refused: a structure that shapes and given numbers do not determine.
    """
    table = pieces.outside.get(EMBEDDING)
    if table is None or len(table) != 2 or 0 in table:  # noqa: PLR2004  rows and columns
        raise Invalid("it has no tensor that looks like the embedding of a language model")
    found = sorted(pieces.layers)
    wanted = count if count is not None else len(found)
    if not 0 < wanted <= MOST_LAYERS:
        raise Invalid(f"it has {wanted} layers; 1 to {MOST_LAYERS} make a model")
    if found != list(range(wanted)):
        missing = next((index for index in range(wanted) if index not in pieces.layers), None)
        what = f"layer {missing} has no tensors" if missing is not None else f"there are tensors of layer {found[-1]}"
        raise Invalid(f"it should have {wanted} layers, and {what}")
    vocabulary, hidden = table
    groups = Counter(
        layer(Parts(f"layer {index}", hidden, pieces.layers[index]), given(index)) for index in range(wanted)
    )
    architecture = Architecture(
        hidden_size=hidden,
        vocabulary=vocabulary,
        tied_embeddings=HEAD not in pieces.outside,
        head_bias="head_bias" in pieces.outside,
        layers=tuple(group.model_copy(update={"count": times}) for group, times in groups.items()),
        beside=tuple(Component(name=name, parameters=count) for name, count in sorted(pieces.beside.items())),
        draft_layers=len(pieces.drafts),
    )
    other = pieces.total - parameters(architecture).total
    if other < 0:
        raise Refused(f"its tensors outside the layers hold {-other:,} parameters less than a decoder has")
    return architecture.model_copy(update={"other": other})
