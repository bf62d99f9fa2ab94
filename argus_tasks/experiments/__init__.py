"""The kinds of experiments: a function, a command, a Hydra app."""
