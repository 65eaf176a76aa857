"""The REST routes, one module per chapter of the contract.

Law: a route turns HTTP into a command or a query, and its answer back; SQL, NATS and recorders
stay behind it, and no route imports another.
"""
