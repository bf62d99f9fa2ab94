"""One attempt of one run, in the process that executes it, and its messages."""
