"""Fitting on rows that the model itself made: what went in comes out, and nothing is claimed that was not held out."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from core.performance.factors import a_runner
from orchestrator.api.calibration import Calibration, Factors
from orchestrator.core.fitting.fit import cross_validate, fit
from orchestrator.core.fitting.score import Scored, quantiles, range_of, scores
from orchestrator.core.fitting.scopes import Scope, scopes_of, weights_of
from orchestrator.core.performance.case import Case
from orchestrator.core.performance.prior import PRIOR, UNMEASURED
from orchestrator.core.performance.runner import Workload
from orchestrator.core.performance.weighed import figures
