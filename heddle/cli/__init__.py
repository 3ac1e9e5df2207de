"""The command line: verbs that call the engine, and renderers of what it answers."""
