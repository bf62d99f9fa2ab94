"""Batches beside each other: baselines, verdicts, history."""
