"""Questions to Prefect's server."""
