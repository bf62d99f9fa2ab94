"""From options and folders to what a start of a sweep has to do."""
