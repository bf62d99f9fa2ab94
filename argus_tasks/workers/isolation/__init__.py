"""Worker processes: started, handed one run at a time, and blamed by name when they die."""
