"""Who calls, what they may do, and how much of it: identities, roles, quotas. Knows nothing of rpcs."""
