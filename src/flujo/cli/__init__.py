"""The `flujo` command."""

import os
import sys


def main() -> None:
    """Run the command with the words of the command line, and exit with its code."""
    if sys.__stdout__ is None:  # it was closed: nobody wants to read
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    if sys.__stderr__ is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    try:
        from flujo.cli.app import app

        app()
    except KeyboardInterrupt as error:  # before it had begun
        from flujo.cli.output import Fault, report

        fault = Fault(error, "interrupted", "interrupted", exit_code=130)
        sys.exit(
            report(fault, as_json=bool({"--json", "--stream"} & set(sys.argv)), line="--stream" in sys.argv)
        )
