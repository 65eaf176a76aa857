"""The read side: facts in, rows out; every table here may be dropped and built again.

Law: imports `domain` and nothing of the other rooms; a fold sees only a fact and its envelope,
never a clock; it speaks SQL, never NATS.
"""
