"""The event log: where facts are kept for ever, and the one folder that knows its engine.

Law: only this folder imports the `eventsourcing` library or touches the schemas `owl_log` and
`owl_private`; everyone else speaks of facts, positions and streams.
"""
