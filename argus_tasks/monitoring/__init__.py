"""Reports a sweep to the Argus monitor."""
