"""A task's life: submitted, assigned, run, ended, and what it cost."""
