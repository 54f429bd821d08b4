"""Source weights to a checked edge artifact; the only home of the build tools."""
