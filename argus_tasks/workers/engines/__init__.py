"""The engines: run attempts on the nodes of a dask or Ray cluster."""
