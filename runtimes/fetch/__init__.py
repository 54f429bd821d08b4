"""Weights onto a node or a volume: fetched over HTTP, resumed where they stopped, verified before anyone sees them.

Runs in init containers and jobs, from the image of the edge engine; needs no cluster and, later, no network.
"""
