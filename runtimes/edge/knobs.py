"""How tokens are chosen, as a body says it: the fields that become a `Sampling`, with their limits.

Pure. Part of every body in `runtimes.edge.wishes`; what the numbers do is in `runtimes.edge.sampler`. Token numbers of
`logit_bias` are compared with the vocabulary in `runtimes.edge.server`, which has it.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from runtimes.edge.complaints import MOST_BIASES
from runtimes.edge.sampler import Sampling

LARGEST_SEED = 2**63 - 1

TokenName = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,9})$")]  # one way to write each number
Bias = Annotated[float, Field(ge=-100, le=100)]


class Knobs(BaseModel):
    """The sampling parameters of a request; null means OpenAI's default."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=0)
    min_p: float | None = Field(default=None, ge=0, le=1)
    seed: int | None = Field(default=None, ge=-LARGEST_SEED, le=LARGEST_SEED)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    repetition_penalty: float | None = Field(default=None, gt=0, le=2)
    logit_bias: Annotated[dict[TokenName, Bias], Field(max_length=MOST_BIASES)] | None = None

    @property
    def sampling(self) -> Sampling:
        """How tokens are chosen."""
        return Sampling(
            temperature=1.0 if self.temperature is None else self.temperature,
            top_p=1.0 if self.top_p is None else self.top_p,
            top_k=self.top_k or 0,
            min_p=self.min_p or 0.0,
            seed=None if self.seed is None else self.seed % (LARGEST_SEED + 1),
            presence_penalty=self.presence_penalty or 0.0,
            frequency_penalty=self.frequency_penalty or 0.0,
            repetition_penalty=1.0 if self.repetition_penalty is None else self.repetition_penalty,
            logit_bias=tuple((int(token), bias) for token, bias in (self.logit_bias or {}).items()),
        )
