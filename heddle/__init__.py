"""Heddle: a typed dataflow language and its engine."""

__version__ = "0.1.0"
