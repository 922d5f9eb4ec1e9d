"""What the graph is built of: assets, checks, jobs, sensors and automation, wherever the pipeline stands."""
