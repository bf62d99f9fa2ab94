"""Decides when attempts start: the gate, and the resources that an attempt needs besides
a worker."""
