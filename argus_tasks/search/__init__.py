"""Searches by Optuna."""
