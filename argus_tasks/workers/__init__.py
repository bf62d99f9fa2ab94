"""Where attempts execute: worker processes, clusters, or the caller."""
