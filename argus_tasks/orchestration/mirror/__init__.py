"""Prefect's server as a mirror of the sweep's ledger."""
