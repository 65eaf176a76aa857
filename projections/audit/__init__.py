"""What auditors ask of the log: is it whole, does the money add up, what happened to whom."""
