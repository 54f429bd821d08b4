"""The `headwater` command: parse, call, print. Decisions are the orchestrator's."""
