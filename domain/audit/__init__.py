"""Proof that the log is complete, in order and unaltered; the refold that checks its sense."""
