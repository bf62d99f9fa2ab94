"""Callbacks and trackers for other frameworks.

Each module needs its framework; where it is missing, the import names the extra to install.
"""
