"""Typed program -> optimized logical plan: a DAG of fragments (DataFusion plans), steps, scans and sinks. No IO."""
