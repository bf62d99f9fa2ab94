"""Worker processes: started, given one attempt at a time, and their deaths explained."""
