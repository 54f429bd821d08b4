"""What a client saw of a service beside what was predicted. Pure. Read `measured`, `expected`, then `comparison`."""
