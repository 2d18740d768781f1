"""Where files live, and whether that place is the true one: tiers, spool."""
