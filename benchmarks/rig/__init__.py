"""What the benchmarks of the data path share: the running system, load, bare peers and the report."""
