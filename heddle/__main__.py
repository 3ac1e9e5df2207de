"""`python -m heddle`."""

from heddle.cli.start import main

main()
