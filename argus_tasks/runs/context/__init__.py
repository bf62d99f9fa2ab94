"""What an experiment is handed."""
