"""Who may run what, and how it ended: queue, leases, attempts, retry, worker."""
