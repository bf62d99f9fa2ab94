"""Scheduled benchmark runs."""
