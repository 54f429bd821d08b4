"""Every decision. Pure: no I/O, no clock, no randomness, no logging; the same input gives the same output."""
