"""The domain: pure facts and decisions.

Law: standard library and msgspec only; no input or output, no clock, no randomness, no async.
Time, ids and random bytes come in as arguments. Every other room may import this one; this one
imports no other.
"""
