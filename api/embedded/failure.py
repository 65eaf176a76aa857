"""Why the embedded stack could not come up, in words that say what to do next."""


class StackFailed(Exception):
    """A server could not be found, started or stopped; the message is for the operator."""
