"""Predictions against measured rows, and factors fitted to them. Pure."""
