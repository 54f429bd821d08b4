"""Scales of 4-bit blocks, and the strengths they follow."""

from __future__ import annotations

import numpy as np
import pytest

from runtimes.build.evaluate import evaluation_text
from runtimes.build.quantize import BLOCK, four_bit_rows
from runtimes.build.strengths import calibration_text


def unpacked(packed: np.ndarray, scales: np.ndarray) -> np.ndarray:
    levels = np.stack([packed & 15, packed >> 4], axis=2).reshape(packed.shape[0], -1).astype(np.float32) - 8
    return levels * np.repeat(scales, BLOCK, axis=1)


@pytest.fixture
def table() -> np.ndarray:
    return np.random.default_rng(3).standard_normal((40, 4 * BLOCK)).astype(np.float32)


def test_weights_that_are_levels_of_one_scale_come_back_as_they_were():
    levels = np.random.default_rng(1).integers(-8, 8, (6, 2 * BLOCK)).astype(np.float32)
    levels[:, ::BLOCK] = -8
    table = levels * np.float32(0.25)

    np.testing.assert_allclose(unpacked(*four_bit_rows(table, np.ones(2 * BLOCK, np.float32))), table, atol=1e-6)


def test_no_block_is_worse_than_with_the_scale_of_its_largest_weight(table):
    strength = np.random.default_rng(5).exponential(size=table.shape[1]).astype(np.float32)
    blocks = table.reshape(-1, BLOCK)
    largest = blocks[np.arange(len(blocks)), np.abs(blocks).argmax(axis=1)][:, None]
    plain = (np.clip(np.rint(blocks / (largest / -8)), -8, 7) * (largest / -8)).reshape(table.shape)

    def wrong(found: np.ndarray) -> float:
        return float((strength * (found - table) ** 2).sum())

    assert wrong(unpacked(*four_bit_rows(table, strength))) < 0.9 * wrong(plain)


def test_a_strong_input_is_kept_more_exactly_than_the_others(table):
    strength = np.ones(table.shape[1], np.float32)
    strength[7] = 1000

    alike = np.abs(unpacked(*four_bit_rows(table, np.ones_like(strength))) - table)[:, 7].mean()
    strong = np.abs(unpacked(*four_bit_rows(table, strength)) - table)[:, 7].mean()

    assert strong < alike / 3


def test_a_block_of_zeros_stays_zero():
    table = np.zeros((2, BLOCK), np.float32)

    assert not unpacked(*four_bit_rows(table, np.ones(BLOCK, np.float32))).any()


def test_the_scales_are_chosen_on_a_text_that_shares_no_line_with_the_evaluation():
    lines = [set(filter(None, text.splitlines())) for text in (calibration_text(), evaluation_text())]

    assert not lines[0] & lines[1]
