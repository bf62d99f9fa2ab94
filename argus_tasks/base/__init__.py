"""Clock, identities, files, settings, errors and the one guard: standard library only."""
