"""Measurements that anyone can repeat: `make bench`. docs/benchmarks.md says what each figure means."""
