"""From run folders to rows."""
