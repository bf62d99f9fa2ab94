"""Leaderboards and other tables."""
