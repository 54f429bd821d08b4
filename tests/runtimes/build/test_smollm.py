"""The real small model, built once per run."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtimes.contract import MANIFEST_FILE, ArtifactManifest

pytestmark = pytest.mark.model


@pytest.fixture
def manifest(artifact: Path) -> ArtifactManifest:
    return ArtifactManifest.model_validate_json((artifact / MANIFEST_FILE).read_bytes())


def test_int4_reads_the_text_within_a_tenth_of_the_references_perplexity(manifest):
    assert manifest.quality.tokens > 600
    assert manifest.quality.reference_perplexity == pytest.approx(28.4, rel=0.02)
    assert manifest.quality.perplexity <= 1.10 * manifest.quality.reference_perplexity
    assert manifest.quality.greedy_agreement >= 0.70


def test_the_manifest_says_how_the_matrices_are_stored(manifest):
    assert manifest.weights is not None
    assert manifest.weights.model_dump() == {"bits": 4, "block": 32, "symmetric": True, "head_bits": 8}


def test_its_needs_are_those_of_a_small_model(manifest):
    assert 90e6 < manifest.needs.weights_bytes < 110e6
    assert 150e6 < manifest.needs.resident_bytes < 350e6
    assert manifest.needs.kv_bytes_per_token == 2 * 30 * 3 * 64
    assert manifest.total_bytes < 145e6


def test_its_shape_ends_answers_at_the_end_of_a_turn(manifest):
    shape = manifest.shape
    assert (shape.layers, shape.kv_heads, shape.head_dim, shape.vocabulary) == (30, 3, 64, 49152)
    assert shape.eos_token_ids == (2,)
    assert shape.eos_token == "<|im_end|>"
