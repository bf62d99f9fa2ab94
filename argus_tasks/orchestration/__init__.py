"""Prefect's part of a sweep: one task run a config, and the state that the flow ends in."""
