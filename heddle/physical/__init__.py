"""Logical plan -> tasks -> record batches: streaming execution in bounded memory, failures, cancellation."""
