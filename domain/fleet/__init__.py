"""The farm's servers: enrolled, online or not, drained, removed; and how they are spoken to."""
