"""Searches with Optuna: the study, pruning, and the journal."""
