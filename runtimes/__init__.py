"""The data plane: what builds, runs and serves models. It never imports the control plane."""
