"""The embedded stack: real PostgreSQL and nats-server, run by us on one machine.

Law: nothing here knows what the servers are used for; the engines are the ordinary ones, and
``OWL_DATABASE_URL`` / ``OWL_NATS_URL`` replace them without any other change.
"""
