"""The programs behind ``owl``: one module a command, each with a click ``command``."""
