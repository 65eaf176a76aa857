"""A user's money: what they may spend, what is held for open tasks, what they were charged."""
