"""One file or folder per outside system. Adapters implement `orchestrator.ports` and never call each other."""
