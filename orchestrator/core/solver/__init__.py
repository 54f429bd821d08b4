"""The placement problem as numbers, and its solution with a proof. Pure. Read `problem` first."""
