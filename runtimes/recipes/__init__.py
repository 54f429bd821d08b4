"""How each engine is launched: one file per engine, one dictionary that names them. Pure.

`Job` in, `Launch` out; both are in `runtimes.recipes.launch`. A new engine is a new file and one line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from runtimes.errors import Invalid
from runtimes.recipes import edge, vllm, vllm_ascend
from runtimes.recipes.launch import Job, Launch, Port, Probe, Recipe, Variable

__all__ = ["RECIPES", "Job", "Launch", "Port", "Probe", "Recipe", "Variable", "recipe_for"]

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {"edge": edge.launch, "vllm": vllm.launch, "vllm-ascend": vllm_ascend.launch}
)


def recipe_for(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        Invalid: there is none; the sentence names those there are.
    """
    if name not in RECIPES:
        raise Invalid(f"no recipe is named {name[:64]!r}; known are {', '.join(sorted(RECIPES))}")
    return RECIPES[name]
