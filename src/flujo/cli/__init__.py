"""The `flujo` command."""


def main() -> None:
    """Run the command with the words of the command line, and exit with its code."""
    import os
    import sys

    from flujo.cli.app import app

    if sys.__stdout__ is None:  # it was closed: nobody wants to read
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    if sys.__stderr__ is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")

    app()
