"""The write side: commands in, facts out, and the loops that keep work moving.

Law: imports `domain` and nothing of the other rooms; only `commands.event_log` imports the
`eventsourcing` library; nothing here reads a read model.
"""
