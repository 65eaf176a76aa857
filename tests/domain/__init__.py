"""The domain: decisions, states, and the bytes of every fact."""
