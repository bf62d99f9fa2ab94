"""The deployments `sweep/default` and `benchmark/nightly`, served or run by a Prefect worker."""
