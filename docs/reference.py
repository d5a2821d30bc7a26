"""Writes docs/reference.md from the docstrings of the names that `flujo` exports; `--check` only compares."""

import inspect
import sys
from pathlib import Path

import flujo

PAGE = Path(__file__).with_name("reference.md")

HEAD = """\
# Reference

Every name that `flujo` exports, in its own words; `help(flujo.Step)` tells more. `make docs` writes this page
from the docstrings.
"""


def page() -> str:
    """Compose the page: one entry a name, in the order of `flujo.__all__`."""
    return HEAD + "".join(entry(name) for name in flujo.__all__)


def entry(name: str) -> str:
    """Describe one name by the first paragraph of its docstring."""
    said = inspect.getdoc(getattr(flujo, name)) or ""
    first = " ".join(said.partition("\n\n")[0].split())
    if not first:
        raise SystemExit(f"flujo.{name} has no docstring to show.")
    return f"\n## `{name}`\n\n{first}\n"


def main() -> None:
    """Write the page, or with `--check` end with 1 if it is not what the code says."""
    current = page()
    if "--check" not in sys.argv:
        PAGE.write_text(current, encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != current:
        sys.exit("docs/reference.md is not what the docstrings say: run `make docs`.")


if __name__ == "__main__":
    main()
