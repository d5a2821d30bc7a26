"""The `flujo` command."""


def main() -> None:
    """Run the command with the words of the command line, and exit with its code."""
    from flujo.cli.app import app

    app()
