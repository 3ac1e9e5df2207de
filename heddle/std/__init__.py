"""The built-in modules: what they offer (`signatures`), readers, sinks, and columns as SQL."""
