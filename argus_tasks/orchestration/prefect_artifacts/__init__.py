"""What Prefect's UI shows of a sweep beside its task runs."""
