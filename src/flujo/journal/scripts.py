"""The SQL of the stores, in files of its own: migrations in order, and queries by name."""

from functools import cache
from pathlib import Path
from typing import Literal

Backend = Literal["postgres", "sqlite"]

_SQL = Path(__file__).with_name("sql")


@cache
def queries(backend: Backend) -> dict[str, str]:
    """Return a store's statements by name: in its file, a line ``-- name: x`` begins the query x."""
    script = (_SQL / f"{backend}_queries.sql").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for section in script.split("\n-- name: ")[1:]:
        name, _, text = section.partition("\n")
        lines = (line for line in text.splitlines() if not line.startswith("--"))
        found[name.strip()] = "\n".join(lines).strip()
    return found


ADDITIVE = "-- flujo: additive"
"""The line of a migration that only adds: code which does not know it may go on writing."""


def needs_of(steps: tuple[str, ...], version: int) -> int:
    """Return the oldest version whose code may use a store at a version: since then, scripts only added."""
    while version > 1 and ADDITIVE in steps[version - 1]:
        version -= 1
    return version


@cache
def migrations(backend: Backend) -> tuple[str, ...]:
    """Return the scripts that bring a store's schema from nothing to its newest version, in order."""
    files = sorted(_SQL.glob(f"{backend}_0*.sql"))
    return tuple(file.read_text(encoding="utf-8") for file in files)
