"""Prefect's global concurrency limits."""
