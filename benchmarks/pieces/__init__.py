"""Benchmarks of single functions: `pytest benchmarks/pieces --benchmark-enable`."""
