"""`python -m whyrec`: the command line."""

from whyrec.cli import main

main()
