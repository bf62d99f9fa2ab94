"""One attempt of one run, on the side that executes it."""
