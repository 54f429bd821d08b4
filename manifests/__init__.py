"""Data shipped with the package: catalog and examples. No code."""
