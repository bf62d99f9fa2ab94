"""Comparing batches: baselines, verdicts, history."""
