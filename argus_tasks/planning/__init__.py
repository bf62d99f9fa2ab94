"""Plans a start of a sweep: from options to a request, from a request and run folders to a plan."""
