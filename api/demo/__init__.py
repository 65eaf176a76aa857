"""The main job as a person would do it: a client of the REST API and of nothing else."""
