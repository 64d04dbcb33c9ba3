"""What passerby costs, beside its peers and beside what it must not cost more than. Run with `python -m benchmarks`."""
