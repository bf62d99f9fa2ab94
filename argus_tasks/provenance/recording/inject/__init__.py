"""What the Python processes that an experiment starts find first on their PYTHONPATH."""
