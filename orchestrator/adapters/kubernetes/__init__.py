"""Kubernetes: what a replica group looks like there. Rendering is pure and needs no client."""
