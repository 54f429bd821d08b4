"""`Calibration`: how much of a chip's peaks a program turns into answers, as fitted to measured rows, and how sure.

A document names where it holds: a vendor's chips, a program on them, one chip, one model. The most specific one that
matches is used; one that names nothing is the prior for everything. Fitted by `orchestrator.core.fitting`; looked up by
`orchestrator.core.performance.lookup`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, WithJsonSchema, model_validator

from orchestrator.api.document import Metadata, Name, Part
from orchestrator.api.quantities import PLAIN, Duration, Share

Reach = Annotated[float, Field(gt=0, le=4), WithJsonSchema(PLAIN | {"minimum": 0, "maximum": 4})]
"""A share of a peak. More than one where a peak is a cautious measurement, as of this very machine."""

Ratio = Annotated[float, Field(gt=0, le=1000), WithJsonSchema(PLAIN | {"minimum": 0, "maximum": 1000})]
"""One figure over another."""

Error = Annotated[float, Field(allow_inf_nan=False), WithJsonSchema(PLAIN)]
"""An error over what was measured."""


class Factors(Part):
    """What of the peaks is reached, and what takes time beside reading and computing."""

    weights: Reach = Field(description="share of the memory bandwidth when weights are read that all tokens pass")
    experts: Reach = Field(description="share of the memory bandwidth when weights of experts are read")
    cache: Reach = Field(description="share of the memory bandwidth when keys, values or states are read")
    compute: Reach = Field(description="share of the peak compute rate in layers that all tokens pass")
    expert_compute: Reach = Field(description="share of the peak compute rate in experts")
    narrow: Reach = Field(
        description="share left of weights, experts and both compute rates in a type narrower than 16 bits"
    )
    attention: Reach = Field(description="share of the peak compute rate when prompts attend")
    link: Reach = Field(description="share of the links' bandwidth that exchanges between chips reach")
    exchange: Duration = Field(description="time of one exchange of little between chips")
    layer: Duration = Field(description="time of one layer beside reading and computing")
    expert_layer: Duration = Field(description="further time of one layer with experts")
    step: Duration = Field(description="time of one step of the engine beside its layers")
    sequence: Duration = Field(description="time of one step for each sequence that runs")
    mixing: Reach = Field(description="of the time that prompts of others take: share that running answers wait")
    first: Duration = Field(description="time of a request before and after the engine's steps")
    queue: Ratio = Field(description="measured wait of a burst of requests over the wait that steps explain")


class Range(Part):
    """Measured over predicted: one time in ten it is less than `low`, one time in ten more than `high`."""

    low: Ratio = Field(description="10th percentile of measured over predicted")
    high: Ratio = Field(description="90th percentile of measured over predicted")

    @model_validator(mode="after")
    def _in_order(self) -> Range:
        if self.low > self.high:
            raise ValueError(f"expected low <= high, got {self.low}, {self.high}")
        return self


class Spread(Part):
    """How far measurements lie from predictions, by what is predicted."""

    tpot: Range = Field(description="time per output token")
    ttft: Range = Field(description="time to the first token")
    throughput: Range = Field(description="tokens or requests a second")


class Score(Part):
    """How good predictions were on rows that did not take part in their fit, in shares: 0.2 is twenty per cent."""

    metric: Literal["tpot", "ttft", "throughput", "pace"] = Field(
        description="pace: time per token, or throughput of rows that have only that"
    )
    rows: int = Field(ge=1, description="rows with this figure")
    mape: Error = Field(ge=0, description="mean of the absolute errors over what was measured")
    median: Error = Field(ge=0, description="half of the absolute errors are smaller")
    bias: Error = Field(description="mean of the signed errors; positive: predicted too much")
    coverage: Share = Field(description="share of the rows inside the predicted band")


class FittedOn(Part):
    """What the factors were fitted on."""

    rows: int = Field(ge=0, description="rows")
    models: tuple[str, ...] = Field(default=(), description="models in them")
    fitted: tuple[Score, ...] = Field(default=(), description="scores on the rows of the fit")
    held_out: tuple[Score, ...] = Field(default=(), description="scores of each model, fitted without its rows")


class CalibrationSpec(Part):
    """Where it holds, the factors, how far off they were, and what they rest on."""

    engine: str | None = Field(default=None, min_length=1, max_length=80, description="a program, such as vLLM")
    vendor: str | None = Field(default=None, min_length=1, max_length=80, description="a vendor of chips")
    chip: Name | None = Field(default=None, description="a HardwareProfile")
    model: Name | None = Field(default=None, description="a Model")
    factors: Factors = Field(description="what is reached")
    spread: Spread = Field(description="for an engine and a chip that were measured")
    elsewhere: Spread = Field(description="for an engine or a chip that it covers and nobody measured")
    fitted_on: FittedOn = Field(description="what the factors rest on, and how good they were")
    note: str = Field(default="", description="what to know about it")
    sources: tuple[str, ...] = Field(default=(), description="where the rows were read")


class Calibration(Part):
    """Efficiency of a program on chips, as data."""

    api_version: Literal["headwater.dev/v1alpha1"] = Field(description="version of this schema")
    kind: Literal["Calibration"] = Field(description="what this document is")
    metadata: Metadata = Field(description="its name")
    spec: CalibrationSpec = Field(description="what was found")
