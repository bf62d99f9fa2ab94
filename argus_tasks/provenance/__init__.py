"""What made a number: the code that a run executed, recorded, kept and compared by content."""
