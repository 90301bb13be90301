"""`python -m timeproof` is the command `timeproof`."""

from timeproof.cli.main import run

run()
