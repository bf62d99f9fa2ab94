"""What a start needs besides a worker, and the one gate where it is asked for."""
