"""Attempts on other machines: the worker nodes of a dask or ray cluster."""
