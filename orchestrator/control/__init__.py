"""The shell around the core: one pass, its loop, and the process that runs it."""
