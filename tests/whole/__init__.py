"""The whole platform as real processes: killed, wiped and raced, then audited."""
