"""What is deployed: `sweep/default`, served from one process or run by a worker."""
