"""The statistics of comparisons."""
