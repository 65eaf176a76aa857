"""A client of the published contract: what ``owl`` and the demonstration can do, anybody can.

Law: it speaks HTTP and knows the API's fields by their published names; it imports nothing of
the other rooms, and of this room only ``api.settings.is_loopback``.
"""
