"""Which model of the catalog a row means, by hub names, paths, suffixes of storage, dates and sizes. Pure.

What is not certainly the same layers is not taken for them. Called by `orchestrator.core.rows.mapping`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from orchestrator.api.architecture import Layers
from orchestrator.api.model import Model
from orchestrator.core.architecture import parameters
from runtimes.errors import Invalid

CLOSE = 0.06  # by how much a size in a name may differ from the count
_STORED = re.compile(
    r"fp8|fp4|fp16|bf16|hif8|nvfp4|mxfp4|mxfp8|w\d{1,2}a\d{1,2}(c\d)?|int4|int8|awq|gptq|gguf|q[48]|mtp|quarot|modelslim"
    r"|dynamic|quantized|autoround|4bit|8bit|[km]|0|floatmtp"
)
_KINDS = re.compile(r"instruct|chat|it|hf|sft|preview|release|\d{4}|latest|dummy|weights|moe|v0")
_TRAINED = ("thinking", "think", "base")  # dropped last: some models of a series think in other dimensions
_SIZE = re.compile(r"(a?)(\d{1,4}(?:\.\d{1,3})?)([bmt])")
_SCALE = {"m": 1e6, "b": 1e9, "t": 1e12}
_DECODERS = (
    (re.compile(r"qwen2\.5-vl-(.+)"), r"qwen2.5-\1"),
    (re.compile(r"qwen2-vl-(.+)"), r"qwen2-\1"),
)
"""Models whose decoder is that of a text model with the same numbers, and a vision tower beside it."""

TWINS = {
    "deepseek-v3.1": "deepseek-v3",
    "deepseek-v3.1-terminus": "deepseek-v3",
    "glm-4.6v": "glm-4.5-air",
    "glm-4.5v": "glm-4.5-air",
    "kimi-k2": "kimi-k2-instruct",
    "internvl2-1b": "qwen2.5-0.5b",
    "internvl2.5-1b": "qwen2.5-0.5b",
    "internvl3-1b": "qwen2.5-0.5b",
    "qwen2-vl-2b": "qwen2.5-1.5b",
    "qwen2-0.5b": "qwen2.5-0.5b",
    "qwen2-1.5b": "qwen2.5-1.5b",
    "qwen2-7b": "qwen2.5-7b",
    "qwen2.5-14b": "r1-distill-qwen-14b",
    "qwen2.5-32b": "r1-distill-qwen-32b",
    "qwen2.5-coder-7b": "qwen2.5-7b",
    "qwen2.5-coder-32b": "r1-distill-qwen-32b",
    "qwq-32b": "r1-distill-qwen-32b",
    "llama-3-8b": "r1-distill-llama-8b",
    "llama3-8b": "r1-distill-llama-8b",
    "llama-3.1-8b": "r1-distill-llama-8b",
    "llama3.1-8b": "r1-distill-llama-8b",
    "meta-llama-3-8b": "r1-distill-llama-8b",
    "meta-llama-3.1-8b": "r1-distill-llama-8b",
    "llama-3-70b": "r1-distill-llama-70b",
    "llama-3.1-70b": "r1-distill-llama-70b",
    "llama-3.3-70b": "r1-distill-llama-70b",
    "llama3.1-70b": "r1-distill-llama-70b",
    "llama3.3-70b": "r1-distill-llama-70b",
    "meta-llama-3-70b": "r1-distill-llama-70b",
    "meta-llama-3.1-70b": "r1-distill-llama-70b",
}
"""Names that the catalog has no card of, and the model that has the very same layers."""


@dataclass(frozen=True)
class Named:
    """A model of the catalog and what was assumed to find it."""

    model: Model
    notes: tuple[str, ...] = ()


class Names:
    """Every name of every model, in the form in which rows are looked up."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        self._models = models
        self._known: dict[str, str] = {}
        self._groups: dict[str, str] = {}
        for own in (True, False):  # a model's own name goes before what others are called
            for name, model in sorted(models.items()):
                hubs = (name, model.spec.hub) if own else (*model.spec.also, *(r.name for r in model.spec.releases))
                for hub in filter(None, hubs):
                    for form in _forms(hub.rsplit("/", 1)[-1]):
                        self._known.setdefault(form, name)

    def find(self, written: str) -> Named:
        """The model a row names. Raises Invalid when the catalog has none with certainly the same layers."""
        for text in _readings(written):
            for form in _forms(text):
                if (found := self._lookup(form)) is not None:
                    return found
            if (found := self._by_size(text)) is not None:
                return found
        raise Invalid("the model is not in the catalog")

    def exactly(self, written: str) -> Model | None:
        """The model that is called so, apart from how it is stored; None for every other word."""
        return next((self._models[self._known[form]] for form in _forms(written) if form in self._known), None)

    def group(self, model: Model) -> str:
        """The first model with the same layers: its rows are held out together with this one's."""
        name = model.metadata.name
        if name not in self._groups:
            own = _layers(model)
            same = [other for other, card in self._models.items() if own is not None and _layers(card) == own]
            self._groups[name] = min(same, default=name)
        return self._groups[name]

    def _lookup(self, form: str) -> Named | None:
        if form in self._known:
            return Named(self._models[self._known[form]])
        if (twin := TWINS.get(form)) in self._models and twin is not None:
            return Named(self._models[twin], (f"{form} has the layers of {twin}",))
        for pattern, text in _DECODERS:
            if pattern.fullmatch(form) and (found := self._lookup(pattern.sub(text, form))) is not None:
                return Named(found.model, (*found.notes, "the decoder alone is counted, not the vision tower"))
        longer = [name for name in self._known if name.startswith(f"{form}-a") and any(c.isdigit() for c in form)]
        if len({self._known[name] for name in longer}) == 1:
            return Named(self._models[self._known[longer[0]]])
        return None

    def _by_size(self, text: str) -> Named | None:
        """A name with the count of parameters behind it, where the count is right."""
        words = _words(text)
        sizes = [match for word in words if (match := _SIZE.fullmatch(word))]
        for form in _forms("-".join(word for word in words if not _SIZE.fullmatch(word))):
            found = self._lookup(form) if sizes else None
            if found is not None and all(_fits(size, found.model) for size in sizes):
                return found
        return None


def _layers(model: Model) -> tuple[Layers, ...] | None:
    return model.spec.architecture.layers if model.spec.architecture else None


def _fits(size: re.Match[str], model: Model) -> bool:
    if model.spec.architecture is None:
        return False
    p = parameters(model.spec.architecture)
    count = float(size[2]) * _SCALE[size[3]]
    return any(abs(one / count - 1) < CLOSE for one in ((p.active, p.body) if size[1] else (p.total,)))


def _readings(written: str) -> Iterator[str]:
    """The name without what stands in brackets or after it; then the parts of a path, and of `A/B`."""
    plain = re.sub(r"[(\[].*?(?:[)\]]|$)", " ", written).strip()
    parts = [part.strip() for part in plain.split("/") if part.strip()]
    for text in (plain, *reversed(parts)):
        yield text
        if " " in text:
            yield text.split()[0]


@lru_cache(maxsize=4096)
def _forms(text: str) -> tuple[str, ...]:
    """A name as it is, without how it is stored, without dates and kinds, and without how it was trained."""
    words = _words(text)
    stored = [word for word in words if not _STORED.fullmatch(word)]
    kinds = [word for word in stored if not _KINDS.fullmatch(word)]
    plain = [word for word in kinds if word not in _TRAINED]
    return tuple(dict.fromkeys("-".join(form) for form in (words, stored, kinds, plain) if form))


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[-_\s:]+", text.lower()[:200]) if word]


def suffix_words(written: str) -> Iterable[str]:
    """Words of a model's name, for what they tell of how it is stored."""
    return _words(re.sub(r"[()\[\]/]", " ", written))
