"""Queries: PRQL text in, DataFusion SQL with a row type out. `compiler.QueryCompiler` is the door."""
