"""Where every tier goes: one problem of all services over all pools. Pure. Read `result`, then `place`."""
