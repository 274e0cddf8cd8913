"""What scripts/faults does to a cluster, and what must hold whatever it does."""
