"""One start of a sweep, from its first write to its summary."""
