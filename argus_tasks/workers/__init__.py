"""Executes attempts: in worker processes, on threads, on clusters, or in the caller's process."""
