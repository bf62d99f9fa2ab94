"""What can be run: a function, a command, a Hydra app."""
