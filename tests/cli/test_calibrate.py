"""What `headwater calibrate` prints: factors that made things worse, and numbers with their nouns."""

from __future__ import annotations

from typing import Any

import pytest

from cli.calibrate import print_calibration


def a_score(mape: float) -> dict[str, float]:
    return {"mape": mape, "median": mape, "coverage": 0.5}


def a_value(before: float, after: float, *, short: int = 1) -> dict[str, Any]:
    group = {"engine": "vLLM", "chip": "nvidia-h20", "rows": 9, "models": ["qwen3-8b"], "heldOut": None}
    return {
        "groups": [group | {"before": a_score(before), "after": a_score(after)}],
        "tooFew": [{"engine": "vLLM", "chip": "npu", "rows": 5 - short}],
        "leastRows": 5,
        "reasons": [],
        "documents": [{}],
        "folder": None,
    }


@pytest.mark.parametrize(("before", "after", "told"), [(0.1, 0.123, True), (0.123, 0.1, False), (0.1, 0.1, False)])
def test_factors_that_make_the_mean_worse_are_told(
    before: float, after: float, *, told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    print_calibration(a_value(before, after))
    said = capsys.readouterr().out

    assert ("worse in the mean of these rows: vLLM on nvidia-h20, 10.0% before, 12.3% after" in said) is told
    assert ("worse" in said) is told


@pytest.mark.parametrize(("short", "said"), [(4, "has 1 row; 4 more are needed"), (1, "has 4 rows; 1 more is needed")])
def test_one_is_singular(short: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_calibration(a_value(0.2, 0.1, short=short))
    out = capsys.readouterr().out

    assert f"not fitted: vLLM on npu {said}" in out
    assert out.endswith("1 document, nothing was written\n")
