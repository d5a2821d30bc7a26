"""``python -m flujo_deidentifier new-key PATH``: writes a key file, or adds the next key to it."""

import argparse
import sys
from pathlib import Path

from flujo.errors import FlujoError
from flujo_deidentifier.keys import new_key


def main(arguments: list[str] | None = None) -> int:
    """Do what is asked, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flujo_deidentifier", description=__doc__)
    asked = parser.add_subparsers(required=True).add_parser("new-key", help="write a key file, or add a key")
    asked.add_argument("path", type=Path, help="the key file; only its owner may read it")
    asked.add_argument("--id", default="", help="the key's id; k1, k2, ... when left out")
    given = parser.parse_args(arguments)
    try:
        name = new_key(given.path, given.id)
    except FlujoError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{given.path}: the key {name} is active\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
