"""Recording in a worker process and its children what they execute.

These modules import next to nothing, so that a Python process that is started by an experiment
and records too finds the same modules loaded as without it.
"""
