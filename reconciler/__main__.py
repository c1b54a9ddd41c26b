"""Lets ``python -m reconciler`` be the program."""

from reconciler.cli.main import run

run()
