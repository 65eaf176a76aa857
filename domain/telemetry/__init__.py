"""Facts of the telemetry log: one per heartbeat, one per chunk of a task's output."""
