"""Efficiency factors from measured rows. Pure. Read `fit` first, then `solve` and `table`."""
