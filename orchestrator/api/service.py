"""`ModelService`: a name that answers requests, with a student tier, a teacher tier, or both."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from pydantic import Field, model_validator

from orchestrator.api.document import Metadata, Name, Part
from orchestrator.api.quantities import Duration, Rate, Share
from orchestrator.api.site import Role
from orchestrator.api.spdx import Spdx
from orchestrator.api.territory import Territory


class Source(Part):
    """Weights that are in no catalog."""

    source: str = Field(min_length=1, description="a folder, a .gguf file, or hf://org/name")
    licence: Spdx = Field(description="SPDX id of the weights' licence")


class Where(Part):
    """Which sites a tier may use; an absent field does not restrict."""

    role: Role | None = Field(default=None, description="sites of this role only")
    region: Name | None = Field(default=None, description="sites of this region only")
    site: Name | None = Field(default=None, description="this site only")


class Slo(Part):
    """What a request may take."""

    ttft: Duration | None = Field(default=None, description="time to first token")
    tpot: Duration | None = Field(default=None, description="time per output token after the first")


class Replicas(Part):
    """Bounds on the number of replicas."""

    min: int = Field(default=1, ge=0, le=1000, description="never fewer")
    max: int = Field(default=1, ge=1, le=1000, description="never more")
    sites: int = Field(default=1, ge=1, le=100, description="at least so many different sites have one")

    @model_validator(mode="after")
    def _in_order(self) -> Replicas:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is more than max {self.max}")
        if self.sites > self.max:
            raise ValueError(f"sites {self.sites} is more than max {self.max}")
        return self


class Tier(Part):
    """One tier of a service."""

    model: Name | Source = Field(description="name of a Model, or weights in no catalog as {source, licence}")
    quantization: tuple[str, ...] = Field(default=(), description="allowed, the planner picks; empty allows all")
    where: Where = Field(default=Where(), description="which sites may run it; absent: all")
    slo: Slo = Field(default=Slo(), description="how long a request may take")
    replicas: Replicas = Field(default=Replicas(), description="how many replicas there may be")
    context: int | None = Field(default=None, gt=0, description="longest prompt and answer together, in tokens")


class Quality(Part):
    """How much a student may lose against its own weights in full precision, read on the text the build ships."""

    perplexity: Share | None = Field(
        default=None, description="perplexity at most so far above the full-precision reference's, such as 6%"
    )
    agreement: Share | None = Field(
        default=None, description="at least this share of tokens is the one the reference would choose"
    )

    @model_validator(mode="after")
    def _says_something(self) -> Quality:
        if self.perplexity is None and self.agreement is None:
            raise ValueError("give perplexity, agreement, or both, such as {perplexity: 6%, agreement: 0.8}")
        return self


class Student(Tier):
    """The small tier."""

    quality: Quality | None = Field(
        default=None, description="the least a quantized variant must keep; absent: whatever was built"
    )


class Teacher(Tier):
    """The large tier."""

    disaggregation: Literal["auto", "never"] = Field(
        default="auto", description="prefill and decode apart when it pays"
    )


class Demand(Part):
    """What comes in."""

    rate: Rate = Field(le=1e9, description="requests")
    input: int = Field(gt=0, le=10_000_000, description="prompt tokens of a typical request")
    output: int = Field(gt=0, le=10_000_000, description="answer tokens of a typical request")


class EscalationPoint(Part):
    """What was measured at one share of escalated requests."""

    share: Share = Field(description="share of requests that goes to the teacher")
    quality: Share = Field(description="quality of all answers, as a share of the teacher's")


class Escalation(Part):
    """How much may go from student to teacher."""

    target: Share = Field(description="quality target, as a share of the teacher's")
    budget: Share = Field(description="at most this share of requests goes to the teacher")
    curve: tuple[EscalationPoint, ...] = Field(
        default=(),
        max_length=200,
        description="measured quality by share; the cheapest that meets the target is taken; absent: the budget",
    )

    @model_validator(mode="after")
    def _each_share_once(self) -> Escalation:
        for share, count in Counter(point.share for point in self.curve).items():
            if count > 1:
                raise ValueError(f"curve has the share {share:g} {count} times; give each share one quality")
        return self


class Policy(Part):
    """What is allowed."""

    licences: tuple[Spdx, ...] = Field(default=(), description="SPDX ids; empty allows all")
    residency: tuple[Name, ...] = Field(default=(), description="region prefixes such as cn; empty allows all")
    users: tuple[Territory, ...] = Field(
        default=(), description="territories the users are in, such as cn or eu, for licences that exclude some"
    )
    accepted: tuple[Spdx, ...] = Field(
        default=(), description="licences whose duties were read and accepted, by their SPDX id"
    )
    train_on_outputs: bool = Field(default=False, description="the teacher's answers will train other models")


class ModelServiceSpec(Part):
    """What the user wants."""

    student: Student | None = Field(default=None, description="the small quantized model near the users")
    teacher: Teacher | None = Field(default=None, description="the large model in the cloud")
    demand: Demand = Field(description="requests that come in, and how long they are")
    escalation: Escalation | None = Field(
        default=None, description="when the teacher answers in place of the student; absent: never"
    )
    priority: int = Field(
        default=0, ge=-1000, le=1000, description="when not everything fits, the larger number is served first"
    )
    policy: Policy = Field(default=Policy(), description="licences, regions and duties; checked before anything starts")

    @model_validator(mode="after")
    def _makes_sense(self) -> ModelServiceSpec:
        if self.student is None and self.teacher is None:
            raise ValueError("give a student, a teacher, or both")
        if self.escalation is not None and (self.student is None or self.teacher is None):
            raise ValueError("escalation needs both a student and a teacher")
        request = self.demand.input + self.demand.output
        for name, tier in (("student", self.student), ("teacher", self.teacher)):
            if tier is not None and tier.context is not None and tier.context < request:
                what = f"a typical request, demand.input and demand.output together, has {request}"
                raise ValueError(f"{name}.context is {tier.context} tokens, and {what}")
        return self


class ModelService(Part):
    """A service as the user wrote it."""

    api_version: Literal["headwater.dev/v1alpha1"] = Field(description="version of this schema")
    kind: Literal["ModelService"] = Field(description="what this document is")
    metadata: Metadata = Field(description="the service's name")
    spec: ModelServiceSpec = Field(description="what the user wants")
