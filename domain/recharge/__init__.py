"""Recharge codes: issued in batches, redeemed at most once per user, revoked."""
