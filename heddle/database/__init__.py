"""Outputs of programs as tables that SQL can ask. A front door opens a `Database`, prepares statements for a
viewer and reads their answers as record batches."""
