"""`heddle sql`: statements and commands are read from a person or a script, run over a `Connection` (a
program file or a remote endpoint), and their answers shown or written to files."""
