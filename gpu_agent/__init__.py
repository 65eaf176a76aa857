"""The program on a GPU host: it runs tasks, samples the hardware and reports.

Law: imports `domain` and nothing of the other rooms; it never sees the database.
"""
