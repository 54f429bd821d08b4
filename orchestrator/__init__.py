"""The control plane: load what people write, decide with pure functions, act through ports, report."""
