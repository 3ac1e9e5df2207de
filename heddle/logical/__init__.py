"""Typed program -> optimized logical plan: a DAG of fragments, steps, scans and sinks. No IO."""
