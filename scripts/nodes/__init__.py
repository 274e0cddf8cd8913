"""A cluster of real processes on this machine: what scripts/cluster, scripts/faults and scripts/compat/cluster stand on."""
