"""The flows: the story from top to bottom, wiring only. Installed as `argus_tasks.flows`."""
