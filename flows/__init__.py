"""The Prefect flows, which only connect the other rooms. Installed as `argus_tasks.flows`."""
