"""Who runs next, where, and who has gone: pure decisions over what the log says."""
