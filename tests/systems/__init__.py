"""The systems, each on the real thing."""
