"""Callbacks and trackers for other frameworks. Each module needs its own, and names the extra that
brings it where it is not there."""
