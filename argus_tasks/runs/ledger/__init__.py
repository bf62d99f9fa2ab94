"""What a whole sweep leaves under its results root."""
