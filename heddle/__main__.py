"""`python -m heddle`."""

from heddle.cli.main import main

main()
