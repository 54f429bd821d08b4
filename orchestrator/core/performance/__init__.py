"""How fast a replica will be. Pure. Read `runner` first, then `step`."""
