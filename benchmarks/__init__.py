"""Benchmarks: ratios between Heddle and the same work done by hand, measured in one interleaved run."""
