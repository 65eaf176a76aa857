"""The HTTP side, over real HTTP, on a real Postgres."""
