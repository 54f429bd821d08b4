"""Rows of published measurements, mapped to models, chips, engines and cuts of the catalog. Pure."""
