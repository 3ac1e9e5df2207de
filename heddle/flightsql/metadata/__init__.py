"""Answers to questions about tables, keys, types and the server: `answers` has one function from a command
to its table, and one to the exact schema of that."""
