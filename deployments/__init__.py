"""What is deployed: `sweep/default` and `benchmark/nightly`, served or run by a worker."""
