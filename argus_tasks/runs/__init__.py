"""The run directory: its layout, its records, and the context that an experiment is handed."""
